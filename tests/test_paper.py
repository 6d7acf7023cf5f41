"""Figures and tables for a paper: drawn from a study's tables alone, with the page's numbers."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
from markupsafe import Markup

from coordinator.command_line import main
from tests.synthetic_results import write_study

SCRIPTS = Path(__file__).resolve().parent.parent / "workflow" / "scripts"
COMMANDS = {"evaluate": ("coordinator.comparison.evaluate", "compare")}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    spec, folder = write_study(tmp_path_factory.mktemp("study"), bootstrap=100)
    assert main("coordinator", COMMANDS, ["evaluate", "--spec", str(spec), "--results", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def paper(results: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("paper")
    command = [sys.executable, str(SCRIPTS / "figures.py"), "--results", str(results), "--out", str(folder)]
    subprocess.run(command, check=True)
    return folder


def test_every_figure_of_the_page_is_an_svg_and_a_pdf(paper: Path) -> None:
    drawings = sorted(paper.glob("*.svg"))
    assert len(drawings) == 16
    for drawing in drawings:
        text = drawing.read_text(encoding="utf-8")
        assert "var(--" not in text, drawing.name
        assert not re.search(r"#0[1-5]01[0-9]{2}\b|#0[1-4]0[1-4]0[1-4]\b", text), (
            drawing.name
        )  # no placeholder
        assert drawing.with_suffix(".pdf").read_bytes().startswith(b"%PDF-")
    assert not list(paper.glob(".*"))


def test_lines_have_a_legend_of_what_is_drawn(paper: Path) -> None:
    text = (paper / "tumour-roc.svg").read_text(encoding="utf-8")
    assert all(f">{name}</text>" in text for name in ("centralized", "local", "fedavg", "split"))
    assert ">split_u</text>" not in text  # its curve is split's


def test_tables_hold_the_numbers_that_stand_in_the_csv(paper: Path, results: Path) -> None:
    text = (paper / "tumour-differences.tex").read_text(encoding="utf-8")
    rows = [line.split(" & ") for line in text.splitlines() if " & " in line]
    assert {len(row) for row in rows} == {5}
    shown = {row[0]: row[1] for row in rows}
    for line in (results / "differences.csv").read_text().splitlines()[1:]:
        _, strategy, reference, _, *numbers = line.split(",")
        pair = f"{strategy} $-$ {reference}".replace("_", r"\_")
        signed = [f"{float(number):+.3f}" for number in numbers[:3]]
        found = shown[pair].replace("$-$", "-").replace("+", "").replace(" 0.000", " 0.000")
        expected = "{} ({} to {})".format(*(each.replace("+", "") for each in signed))
        assert found == expected.replace("-0.000", "0.000")


@pytest.mark.parametrize("name", ["metrics", "costs", "table1", "strategies", "interruptions", "by_site"])
def test_a_table_is_whole_latex(paper: Path, name: str) -> None:
    lines = (paper / f"tumour-{name}.tex").read_text(encoding="utf-8").splitlines()
    begun = next(line for line in lines if line.startswith(r"\begin{tabular}"))
    columns = len(begun.partition("tabular}{")[2].rstrip("}"))
    for line in lines:
        if not line.startswith(("%", r"\resizebox", r"\begin", r"\end", r"\addlinespace")) and "&" in line:
            assert len(re.split(r"(?<!\\)&", line)) == columns, line
            assert not re.search(r"(?<!\\)[_%#]|<|>(?!\$)", line.replace("$<$", "")), line
            assert line.count("$") % 2 == 0


def test_what_means_something_to_latex_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    paper = importlib.import_module("reporting.paper")
    assert paper.latex("50 % of a_b & {c} \\ #1") == r"50 \% of a\_b \& \{c\} \textbackslash{} \#1"
    cell = Markup('<td><data value="1">0.91</data> <span class="ci">0.8 to 0.9</span></td>')
    assert paper.latex(cell) == "0.91 (0.8 to 0.9)"
    assert paper.latex(Markup("&lt;5 <b>missing</b>")) == "$<$5 missing"


def test_missing_tables_are_a_sentence(tmp_path: Path) -> None:
    command = [
        sys.executable,
        str(SCRIPTS / "figures.py"),
        "--results",
        str(tmp_path),
        "--out",
        str(tmp_path),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "evaluate the study first" in done.stderr
