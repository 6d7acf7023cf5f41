"""Figures of how well the strategies do: each is a function of one CSV file."""

from typing import Any

import altair as alt

from reporting import charts
from reporting.charts import BAND, INK, MUTED, Figure
from reporting.files import Results, Row

BAR = 250  # pixels, so that labels stay readable on a phone


def overview(results: Results, task: str, strategies: list[str]) -> Figure | None:
    """AUROC of each strategy: all sites together with its interval, and every site alone."""
    rows = results.rows("figures/summary.csv", task=task, metric="auroc")
    points = [numbers(row, "value", "ci_low", "ci_high") for row in rows if row["value"]]
    pooled = [point for point in points if point["site"] == "all"]
    single = [point for point in points if point["site"] not in ("all", "stratified")]
    if not pooled:
        return None
    y = alt.Y("strategy:N", sort=strategies, title=None, axis=_bare())
    x = alt.X("value:Q", title="AUROC", scale=alt.Scale(zero=False, nice=True), axis=alt.Axis(tickCount=5))
    tint, low, high = charts.colour(strategies), alt.X("ci_low:Q"), alt.X2("ci_high")
    ticks = alt.Chart(charts.data(single)).mark_tick(color=MUTED, thickness=1.5, size=12, opacity=0.7)
    base = alt.Chart(charts.data(pooled))
    chart = alt.layer(
        ticks.encode(x, y),
        base.mark_rule(strokeWidth=2).encode(low, y, high, tint),
        base.mark_point(filled=True, size=80, opacity=1).encode(x, y, tint),
    ).properties(width=BAR, height=max(60, 30 * len(strategies)))
    words = "; ".join(f"{point['strategy']} {point['value']:.3f}" for point in pooled)
    return charts.draw(
        chart,
        f"overview-{task}",
        title="AUROC with 95 % interval; grey ticks are single sites",
        description=f"AUROC over all sites by strategy: {words}.",
        source="figures/summary.csv",
    )


def differences(results: Results, task: str, strategies: list[str]) -> Figure | None:
    """Differences from the reference, with 90 % (thick) and 95 % (thin) intervals and the margin."""
    points = _effects(results, task)
    if not points:
        return None
    margin = float(results.rows("differences.csv", task=task)[0]["margin"])
    y = alt.Y("pair:N", sort=[point["pair"] for point in points], title=None, axis=_bare())
    tint, base = charts.colour(strategies), alt.Chart(charts.data(points))
    band = alt.Chart(charts.data([{"low": -margin, "high": margin}])).mark_rect(color=BAND)
    zero = alt.Chart(charts.data([{"zero": 0}])).mark_rule(color=INK, strokeWidth=1)
    chart = alt.layer(
        band.encode(alt.X("low:Q"), alt.X2("high")),
        zero.encode(alt.X("zero:Q")),
        base.mark_rule(strokeWidth=1.2).encode(alt.X("low_95:Q"), y, alt.X2("high_95"), tint),
        base.mark_rule(strokeWidth=4).encode(alt.X("low_90:Q"), y, alt.X2("high_90"), tint),
        base.mark_point(filled=True, size=70, opacity=1).encode(
            alt.X("difference:Q", title="difference in AUROC", axis=alt.Axis(tickCount=5)), y, tint
        ),
    ).properties(width=BAR, height=max(60, 30 * len(points)))
    return charts.draw(
        chart,
        f"differences-{task}",
        title=f"AUROC differences, 90 % (thick) and 95 % intervals; the band is the margin, \u00b1{margin:g}",
        description="; ".join(_in_words(point) for point in points) + ".",
        source="figures/effects.csv",
    )


def numbers(row: Row, *columns: str) -> dict[str, Any]:
    """Turn a row into a point: the named columns as numbers, and where it stood in its file."""
    known = {column: float(row[column]) if row[column] else None for column in columns}
    return {**row.cells, **known, "at": row.number}


def _effects(results: Results, task: str) -> charts.Points:
    judged = {
        (row["strategy"], row["reference"]): row["verdict"]
        for row in results.rows("differences.csv", task=task)
    }
    columns = ("difference", "low_90", "high_90", "low_95", "high_95")
    return [
        {**numbers(row, *columns), "pair": f"{row['strategy']} \u2212 {row['reference']}"}
        for row in results.rows("figures/effects.csv", task=task, metric="auroc")
        if row["difference"] and judged[row["strategy"], row["reference"]] != "identical"
    ]


def _in_words(point: dict[str, Any]) -> str:
    return (
        f"{point['pair']}: {point['difference']:+.3f}, 90 % {point['low_90']:+.3f} to {point['high_90']:+.3f}"
    )


def _bare() -> alt.Axis:
    return alt.Axis(grid=False, ticks=False, domain=False)
