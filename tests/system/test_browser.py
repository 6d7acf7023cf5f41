"""The report in a real browser: the rendered tables, the console, the narrow screen."""

import base64
import csv
import io
import re
from pathlib import Path

import pytest

from tests.report_page import read_page, wrong_numbers
from tests.system.reports import look

SEEN = {
    "figures/per_site.csv": {"binned", "bound"}, "figures/network.csv": {"predicted", "here"},
    "figures/frontier.csv": {"beyond", "difference", "bytes", "flops"},
    "figures/private.csv": {"value", "low", "reference_high"},
    "figures/target.csv": {"bytes"}, "differences.csv": {"difference", "ci_low", "ci_high"},
}  # fmt: skip


def test_the_rendered_tables_hold_the_csv_numbers_and_the_console_is_silent(
    browser: str, results: Path, tmp_path: Path
) -> None:
    document, console = look(browser, results / "report.html", tmp_path)
    page = read_page(document)
    assert len(page.numbers) > 500
    assert wrong_numbers(page, results) == []
    assert console == []


def test_so_do_those_of_a_study_whose_scores_stayed(browser: str, federated: Path, tmp_path: Path) -> None:
    document, console = look(browser, federated / "report.html", tmp_path)
    page = read_page(document)
    assert wrong_numbers(page, federated) == []
    for file, columns in SEEN.items():
        assert columns <= {shown.column for shown in page.numbers if shown.file == file}, file
    assert console == []
    rows = [row for row in rows_of(federated, "figures/per_site.csv") if row["task"] == "tumour"]
    bound = max(float(row["bound"]) for row in rows)
    assert f"from binned scores and off by at most {bound:.3f}" in page.text


def test_figures_of_sweeps_and_the_frontier_tell_the_csv_s_numbers(
    browser: str, federated: Path, tmp_path: Path
) -> None:
    page = read_page(look(browser, federated / "report.html", tmp_path)[0])
    told = " ".join(found["aria-label"] for tag, found in page.tags if found.get("role") == "img")
    sweeps = rows_of(federated, "figures/sweeps.csv")
    assert {row["kind"] for row in sweeps} == {"cut", "sites"}
    for row in sweeps:
        for measure in ("bytes", "flops", "seconds"):
            assert f"{row['family']}, {row['label']}: {float(row[measure]):.3g}" in told
    for file in ("figures/sweeps.csv", "figures/frontier.csv"):
        links = [found for tag, found in page.tags if found.get("download", "").endswith(file[8:])]
        kept = [row for link in links for row in downloaded(link["href"])]
        assert kept
        assert all(row in rows_of(federated, file) for row in kept)
        assert all(row in kept for row in rows_of(federated, file))


def rows_of(folder: Path, name: str) -> list[dict[str, str]]:
    """Read a table."""
    return list(csv.DictReader(io.StringIO((folder / name).read_text(encoding="utf-8"))))


def downloaded(link: str) -> list[dict[str, str]]:
    """Read the table that a link on the page holds."""
    text = base64.b64decode(link.removeprefix("data:text/csv;base64,")).decode()
    return list(csv.DictReader(io.StringIO(text)))


def test_a_request_or_a_script_would_be_seen_on_the_console(
    browser: str, results: Path, tmp_path: Path
) -> None:
    html = (results / "report.html").read_text(encoding="utf-8")
    for added in ('<img src="https://example.invalid/x.png">', "<script>undefined.x</script>"):
        changed = tmp_path / "changed.html"
        changed.write_text(html.replace("</main>", f"{added}</main>"), encoding="utf-8")
        _, console = look(browser, changed, tmp_path / "profile")
        assert any("Content Security Policy" in line for line in console), added


@pytest.mark.parametrize("name", ["results", "federated"])
@pytest.mark.parametrize("width", [420, 1280])
def test_nothing_is_wider_than_the_screen(
    browser: str, request: pytest.FixtureRequest, tmp_path: Path, width: int, name: str
) -> None:
    html = (request.getfixturevalue(name) / "report.html").read_text(encoding="utf-8")
    measure = (
        "<script>document.querySelectorAll('details').forEach(d => d.open = true);"
        "parent.postMessage(`${document.documentElement.scrollWidth} ${innerWidth}`, '*')</script></body>"
    )
    html = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", html).replace("</body>", measure)
    (tmp_path / "measured.html").write_text(html, encoding="utf-8")
    # a window has a least width, a frame has none
    frame = f'<iframe src="measured.html" style="border: 0; width: {width}px; height: 900px"></iframe>'
    shown = "<title></title><script>onmessage = (said) => { document.title = said.data; }</script>"
    (tmp_path / "framed.html").write_text(shown + frame, encoding="utf-8")
    document, _ = look(browser, tmp_path / "framed.html", tmp_path / "profile", "--virtual-time-budget=20000")
    title = re.search(r"<title>(\d+) (\d+)</title>", document)
    assert title
    assert int(title[1]) <= int(title[2]) == width
