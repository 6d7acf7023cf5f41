"""axe, run inside the page in a real browser, finds nothing that keeps a reader out."""

import html
import importlib.util
import json
import re
from pathlib import Path

import pytest

from tests.conftest import require
from tests.system.reports import look

RUN = """<script>
document.querySelectorAll("details").forEach((each) => { each.open = true; });
axe.run(document, {resultTypes: ["violations", "passes"]}).then((found) => {
  const shown = found.violations.map((each) => ({id: each.id, nodes: each.nodes.map((node) => node.html)}));
  const list = document.createElement("pre");
  list.id = "found";
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  list.textContent = JSON.stringify({passes: found.passes.length, dark: dark, violations: shown});
  document.body.append(list);
});
</script>"""


@pytest.fixture(scope="module")
def axe() -> str:
    found = importlib.util.find_spec("axe_core_python")
    if found is None or not found.origin:
        require("axe", "axe-core-python is not installed; pip install -r requirements-dev.txt")
    assert found
    assert found.origin
    return (Path(found.origin).parent / "axe.min.js").read_text(encoding="utf-8")


def violations(
    browser: str, text: str, axe: str, folder: Path, *options: str, dark: bool = False
) -> list[dict[str, object]]:
    """Open a page with axe in it; returns what it found."""
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
    page = folder / "page.html"
    page.write_text(text.replace("</body>", f"<script>{axe}</script>{RUN}</body>"), encoding="utf-8")
    document, _ = look(browser, page, folder / "profile", "--virtual-time-budget=60000", *options)
    found = re.search(r'<pre id="found">(.*?)</pre>', document, re.DOTALL)
    assert found, "axe did not end"
    answer = json.loads(html.unescape(found[1]))
    assert answer["passes"] > 20
    assert answer["dark"] == dark
    return list(answer["violations"])


@pytest.mark.parametrize(("name", "dark"), [("results", False), ("results", True), ("federated", False)])
def test_axe_finds_no_violation(
    browser: str, request: pytest.FixtureRequest, axe: str, tmp_path: Path, name: str, dark: bool
) -> None:
    scheme = ["--blink-settings=preferredColorScheme=0"] if dark else []
    text = (request.getfixturevalue(name) / "report.html").read_text(encoding="utf-8")
    assert violations(browser, text, axe, tmp_path, "--window-size=1280,900", *scheme, dark=dark) == []


def test_axe_would_see_a_picture_without_words_and_a_faint_line(
    browser: str, results: Path, axe: str, tmp_path: Path
) -> None:
    text = (results / "report.html").read_text(encoding="utf-8")
    faint = '<img src="data:,"><p style="color: #ccc; background: #fff">hardly seen</p></main>'
    found = violations(browser, text.replace("</main>", faint), axe, tmp_path)
    assert {each["id"] for each in found} == {"image-alt", "color-contrast"}
