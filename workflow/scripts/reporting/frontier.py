"""Privacy, utility and cost side by side, as a table and as aligned panels."""

from typing import Any

import altair as alt
from markupsafe import Markup

from reporting import charts, units
from reporting.cells import Table, cell, number, text
from reporting.charts import INK, Figure
from reporting.figures import numbers
from reporting.files import Results, Row, distinct
from reporting.privacy_sentences import ASSETS, unit_of

PANEL = 125  # pixels, three beside each other
FEWEST = 3  # strategies that a figure is worth
BEYOND = {"psnr": "dB", "features_recovered": "share", "within_tolerance": "share"}


def frontier(results: Results, task: str) -> Table | None:
    """What the strongest attack finds of each arm, beside its AUROC and its cost."""
    rows = results.rows("figures/frontier.csv", task=task)
    if not rows:
        return None
    columns = [
        "attacker", "found beyond a trivial guess", "strongest attack", "AUROC difference",
        "bytes, all sites", "operations, all sites", "on the frontier",
    ]  # fmt: skip
    table = Table("Privacy, utility and cost", columns, group="strategy")
    for asset in distinct(rows, "asset"):
        table.rows.append((ASSETS[asset], None))
        own = sorted((row for row in rows if row["asset"] == asset), key=_order)
        table.rows += [(row["strategy"], _cells(row)) for row in own]
    table.notes = [
        "The frontier: no other arm, attacked for the same thing by the same attacker, is as good in all of "
        "found, AUROC and bytes and better in one. Points are compared, not intervals; what is found is a "
        "floor, so that an arm may lie there because its attacks are weak."
    ]
    return table


def panels(results: Results, task: str) -> list[Figure | None]:
    """Draw the three side by side for a curious coordinator, a figure for each thing that is learned."""
    rows = results.rows("figures/frontier.csv", task=task, threat_model="curious_coordinator")
    return [
        _panels(task, asset, [row for row in rows if row["asset"] == asset])
        for asset in distinct(rows, "asset")
    ]


def _panels(task: str, asset: str, rows: list[Row]) -> Figure | None:
    columns = ("beyond", "low", "high", "difference", "ci_low", "ci_high", "bytes")
    points = [numbers(row, *columns) for row in sorted(rows, key=lambda row: float(row["beyond"]))]
    if len(points) < FEWEST:
        return None
    order = [point["strategy"] for point in points]
    unit = BEYOND.get(points[0]["measure"], points[0]["measure"].upper().replace("_", " "))
    chart = alt.hconcat(
        _panel(points, order, "beyond", f"beyond a guess ({unit})", ("low", "high")),
        _panel(points, order, "difference", "AUROC difference", ("ci_low", "ci_high"), labels=False),
        _panel(points, order, "bytes", "bytes (log scale)", None, labels=False),
        spacing=10,
    )
    words = "; ".join(
        f"{point['strategy']} {point['beyond']:+.3g} beyond, "
        + (f"AUROC {point['difference']:+.3f}" if point["difference"] is not None else "no AUROC")
        for point in points
    )
    return charts.draw(
        chart,
        f"frontier-{asset}-{task}",
        title=f"{_capital(ASSETS[asset])}: what a curious coordinator finds, and what the arm costs",
        description=f"From least to most found of {ASSETS[asset]}: {words}.",
        source="figures/frontier.csv",
    )


def _panel(
    points: list[dict[str, Any]], order: list[str], column: str, title: str, ends: tuple[str, str] | None,
    *, labels: bool = True,
) -> alt.LayerChart | alt.FacetChart:  # fmt: skip
    known = [point for point in points if point[column] is not None]
    bare = alt.Axis(grid=True, ticks=False, domain=False, labels=labels, labelOverlap=False)
    y = alt.Y("strategy:N", sort=order, title=None, axis=bare, scale=alt.Scale(domain=order))
    log = ends is None
    scale = alt.Scale(type="log", nice=False, padding=8) if log else alt.Scale(nice=True)
    axis = alt.Axis(tickCount=3, format="~s" if log else "~g")
    x = alt.X(f"{column}:Q", title=title, scale=scale, axis=axis)
    dots = alt.Chart(charts.data(known)).mark_point(filled=True, size=40, opacity=1, color=INK)
    layers = [dots.encode(x, y)]
    if ends:
        zero = alt.Chart(charts.data([{"zero": 0}])).mark_rule(color=INK, strokeWidth=0.6)
        spans = alt.Chart(charts.data([point for point in known if point[ends[0]] is not None]))
        span = spans.mark_rule(strokeWidth=1.6, color=INK)
        layers = [
            zero.encode(alt.X("zero:Q")), span.encode(alt.X(f"{ends[0]}:Q"), y, alt.X2(ends[1])), *layers,
        ]  # fmt: skip
    return alt.layer(*layers).properties(width=PANEL, height=max(60, 15 * len(order)))


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]


def _order(row: Row) -> tuple[str, float]:
    return row["threat_model"], float(row["beyond"])


def _cells(row: Row) -> list[Markup]:
    shown = unit_of(row)
    knowing = f", knowing {row['knowing']}" if row["knowing"] else ""
    tried = "" if row["validated"] == "True" else " (not validated)"
    return [
        text(row["threat_model"].replace("_", " ")),
        Markup("<td>{}{}</td>").format(number(row, "beyond", shown), _ends(row, "low", "high", shown)),
        text(f"{row['attack'].replace('_', ' ')}{knowing}{tried}"),
        Markup("<td>{}{}</td>").format(
            number(row, "difference", units.signed), _ends(row, "ci_low", "ci_high", units.signed)
        ),
        cell(row, "bytes", units.size),
        cell(row, "flops", units.operations),
        text("yes" if row["on_frontier"] == "True" else "no"),
    ]


def _ends(row: Row, low: str, high: str, shown: units.Shown) -> Markup:
    if not row[low]:
        return Markup("")
    ends = (number(row, end, shown) for end in (low, high))
    return Markup(' <span class="ci">{} to {}</span>').format(*ends)
