"""The report in a real browser: the rendered tables, the console, the narrow screen."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from coordinator.command_line import main
from tests.conftest import require
from tests.report_page import read_page, wrong_numbers
from tests.synthetic_results import write_study

SCRIPT = Path(__file__).resolve().parents[2] / "workflow" / "scripts" / "report.py"
COMMANDS = {"evaluate": ("coordinator.comparison.evaluate", "compare")}
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
QUIET = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--enable-logging=stderr", "--v=0",
]  # fmt: skip


@pytest.fixture(scope="module")
def browser() -> str:
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        require("browser", "chromium is not installed; apt-get install chromium")
    assert found
    return found


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    spec, folder = write_study(tmp_path_factory.mktemp("study"))
    assert main("coordinator", COMMANDS, ["evaluate", "--spec", str(spec), "--results", str(folder)]) == 0
    command = [sys.executable, str(SCRIPT), "--results", str(folder), "--out", str(folder / "report.html")]
    subprocess.run(command, check=True)
    return folder


def look(browser: str, page: Path, profile: Path, *options: str) -> tuple[str, list[str]]:
    """Open a page; returns the rendered document and what the console said."""
    command = [browser, *QUIET, f"--user-data-dir={profile}", *options, "--dump-dom", page.as_uri()]
    seen = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return seen.stdout, [line for line in seen.stderr.splitlines() if "CONSOLE" in line]


def test_the_rendered_tables_hold_the_csv_numbers_and_the_console_is_silent(
    browser: str, results: Path, tmp_path: Path
) -> None:
    document, console = look(browser, results / "report.html", tmp_path)
    page = read_page(document)
    assert len(page.numbers) > 500
    assert wrong_numbers(page, results) == []
    assert console == []


def test_a_request_or_a_script_would_be_seen_on_the_console(
    browser: str, results: Path, tmp_path: Path
) -> None:
    html = (results / "report.html").read_text(encoding="utf-8")
    for added in ('<img src="https://example.invalid/x.png">', "<script>undefined.x</script>"):
        changed = tmp_path / "changed.html"
        changed.write_text(html.replace("</main>", f"{added}</main>"), encoding="utf-8")
        _, console = look(browser, changed, tmp_path / "profile")
        assert any("Content Security Policy" in line for line in console), added


@pytest.mark.parametrize("width", [500, 1280])
def test_nothing_is_wider_than_the_screen(browser: str, results: Path, tmp_path: Path, width: int) -> None:
    html = (results / "report.html").read_text(encoding="utf-8")
    measure = (
        "<script>document.querySelectorAll('details').forEach(d => d.open = true);"
        "document.title = `${document.documentElement.scrollWidth} ${innerWidth}`</script></body>"
    )
    html = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", html).replace("</body>", measure)
    changed = tmp_path / "measured.html"
    changed.write_text(html, encoding="utf-8")
    document, _ = look(browser, changed, tmp_path / "profile", f"--window-size={width},900")
    title = re.search(r"<title>(\d+) (\d+)</title>", document)
    assert title
    assert int(title[1]) <= int(title[2])
