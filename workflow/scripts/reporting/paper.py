"""Figures as SVG and PDF with colours of their own, and tables as LaTeX, for a paper."""

import json
import re
from typing import Any, Final

import vl_convert
from markupsafe import Markup

from reporting.cells import Table
from reporting.charts import BAND, INK, LINE, MUTED, SERIES, Figure

PALETTE: Final = ("#1d2327", "#b5530b", "#0b6fa4", "#1b7f5c", "#9b3d7f", "#6a5acd", "#8a6d00", "#b3261e")
COLOURS: Final = {INK: "#000000", LINE: "#bbbbbb", MUTED: "#444444", BAND: "#e4e4e4",
                  **dict(zip(SERIES, PALETTE, strict=True))}  # fmt: skip
LEGEND: Final = {"title": None, "orient": "bottom", "columns": 3, "symbolSize": 60}
# what tells lines or marks apart: such a figure needs a legend, where names stand beside an axis it does not
TELLING: Final = ("strokeDash", "shape")
# longest first: what stands for one character, and must not be replaced again
LATEX: Final = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{",
    "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": "$<$", ">": "$>$",
    "\u2212": "$-$", "\u00b1": r"$\pm$", "\u00d7": r"$\times$", "\u2013": "--", "\u00a0": "~",
    "\u202f": r"\,", "\u2019": "'", "\u201c": "``", "\u201d": "''",
}  # fmt: skip


def vector_images(figure: Figure) -> dict[str, bytes]:
    """Draw a figure as SVG and as PDF, by the ending of its file's name."""
    text = figure.spec
    for placeholder, colour in COLOURS.items():
        text = text.replace(placeholder, colour)
    spec = json.loads(text)
    if any(f'"{name}": {{' in text for name in TELLING):
        _with_legend(spec, _points(spec))
    svg = vl_convert.vegalite_to_svg(spec)
    return {"svg": svg.encode(), "pdf": vl_convert.svg_to_pdf(svg)}


def tabular(table: Table) -> str:
    """Write a table as LaTeX; needs the packages booktabs and graphicx."""
    words = "".join("l" if table.is_text(i) else "r" for i, _ in enumerate(table.columns))
    head = " & ".join(map(latex, (table.group, *table.columns)))
    lines = [
        *(f"% {_plain(words)}" for words in (table.caption, *table.notes)),
        r"\resizebox{\textwidth}{!}{%",
        rf"\begin{{tabular}}{{l{words}}}",
        r"\toprule",
        rf"{head} \\",
        r"\midrule",
        *(_row(head, cells, len(table.columns)) for head, cells in table.rows),
        r"\bottomrule",
        r"\end{tabular}}",
    ]
    return "".join(f"{line}\n" for line in lines)


def latex(value: object) -> str:
    """Write words or a cell of the page as LaTeX."""
    return "".join(LATEX.get(character, character) for character in _plain(value))


def _row(head: object, cells: list[Markup] | None, columns: int) -> str:
    if cells is None:
        return rf"\addlinespace \multicolumn{{{columns + 1}}}{{l}}{{\textit{{{latex(head)}}}}} \\"
    return " & ".join(map(latex, (head, *cells))) + r" \\"


def _plain(value: object) -> str:
    """Take the tags off; an interval follows its number in brackets."""
    words = str(value)
    if isinstance(value, Markup):
        bracketed = re.sub(r'\s*<span class="ci">(.*?)</span>', r" (\1)", words)
        words = Markup(bracketed).striptags()  # noqa: S704 - not for a page
    return re.sub(r"[ \n]+", " ", words).strip()


def _with_legend(spec: Any, points: list[dict[str, Any]]) -> None:
    """Give encodings whose legend stands beside the charts on the page one of their own, of what is drawn."""
    for name, value in spec.items() if isinstance(spec, dict) else enumerate(spec):
        if name in ("color", *TELLING) and isinstance(value, dict) and value.get("legend", 0) is None:
            drawn = {point.get(value["field"]) for point in points}
            value["legend"] = LEGEND | {
                "values": [each for each in value["scale"]["domain"] if each in drawn]
            }
        elif isinstance(value, dict | list):
            _with_legend(value, points)


def _points(spec: Any) -> list[dict[str, Any]]:
    """Collect the rows that a chart's layers draw."""
    if isinstance(spec, list):
        return [point for each in spec for point in _points(each)]
    if not isinstance(spec, dict):
        return []
    own = spec.get("data", {}).get("values", [])
    return [*own, *(point for name, each in spec.items() if name != "data" for point in _points(each))]
