"""The figure of how far each site's patients are from all others' together."""

from typing import Any, Final

import altair as alt

from reporting import charts
from reporting.charts import INK, LINE, MUTED, Figure
from reporting.figures import numbers
from reporting.files import Results, Row, distinct

SHOWN: Final = 25
BALANCED: Final = 0.1  # Austin 2009: below it a difference is taken for negligible
WIDTH, STEP = 260, 17


def shift(results: Results, task: str) -> Figure | None:
    """Draw the standardised differences of what differs most, a mark for each site."""
    points = _points(results.rows("figures/shift.csv", task=task))
    if not points:
        return None
    sites = distinct(results.rows("figures/cohort.csv", task=task), "site")
    names = list(dict.fromkeys(point["label"] for point in points))
    y = alt.Y("label:N", sort=names, title=None, axis=alt.Axis(ticks=False, domain=False, labelLimit=170))
    x = alt.X(
        "difference:Q",
        title="standardised difference",
        axis=alt.Axis(tickCount=5, grid=False, labelOverlap="greedy", labelSeparation=12),
    )
    base = alt.Chart(charts.data(points))
    ranges = base.mark_rule(color=LINE).encode(alt.X("min(difference):Q"), y, alt.X2("max(difference):Q"))
    marks = base.mark_point(filled=True, size=60, opacity=0.9).encode(
        x, y, charts.colour(sites, "site"), charts.mark(sites, "site")
    )
    chart = alt.layer(ranges, *_lines(), marks).properties(width=WIDTH, height=max(60, STEP * len(names)))
    return charts.draw(
        chart,
        f"shift-{task}",
        title=f"Each site against all others together; dashed lines at \u00b1{BALANCED}, below which a "
        "difference is negligible",
        description=_words(points, names),
        source="figures/shift.csv",
    )


def _points(rows: list[Row]) -> list[dict[str, Any]]:
    """Give the points of what differs most, the largest difference first."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in _without_mirrors(rows):
        if row["difference"]:
            found.setdefault(_label(row), []).append({**numbers(row, "difference"), "label": _label(row)})
    most = {label: max(abs(point["difference"]) for point in points) for label, points in found.items()}
    names = sorted((label for label in most if most[label]), key=lambda label: -most[label])[:SHOWN]
    return [point for name in names for point in found[name]]


def _without_mirrors(rows: list[Row]) -> list[Row]:
    """Leave out the second of two words: its differences are the first's with the other sign."""
    levels: dict[str, list[str]] = {}
    for row in rows:
        if row["measure"] == "share" and row["level"] not in levels.setdefault(row["variable"], []):
            levels[row["variable"]].append(row["level"])
    mirrors = {(name, words[1]) for name, words in levels.items() if len(words) == 2}
    return [row for row in rows if (row["variable"], row["level"]) not in mirrors]


def _label(row: Row) -> str:
    name = f"{row['variable']}, series" if row["kind"] == "series" else row["variable"]
    return {"share": f"{name} = {row['level']}", "missing": f"{name} missing"}.get(row["measure"], name)


def _lines() -> list[alt.Chart]:
    zero = alt.Chart(charts.data([{"at": 0}])).mark_rule(color=INK, strokeWidth=1)
    limits = alt.Chart(charts.data([{"at": -BALANCED}, {"at": BALANCED}]))
    return [zero.encode(x="at:Q"), limits.mark_rule(color=MUTED, strokeDash=[4, 3]).encode(x="at:Q")]


def _words(points: list[dict[str, Any]], names: list[str]) -> str:
    largest = [
        max((point for point in points if point["label"] == name), key=lambda point: abs(point["difference"]))
        for name in names[:5]
    ]
    said = "; ".join(f"{each['label']} at {each['site']} {each['difference']:+.2f}" for each in largest)
    return f"Standardised differences of {len(names)} variables and words between sites. The largest: {said}."
