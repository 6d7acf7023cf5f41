"""Figures of how well the strategies do: each is a function of one CSV file."""

from typing import Any

import altair as alt

from reporting import charts
from reporting.charts import BAND, INK, MUTED, Figure
from reporting.files import Results, Row

TARGETS = {"bytes": "bytes, all sites (log scale)", "seconds": "seconds (log scale)",
           "flops": "operations, all parties (log scale)"}  # fmt: skip
BAR = 250  # pixels, so that labels stay readable on a phone


def overview(results: Results, task: str, strategies: list[str]) -> Figure | None:
    """AUROC of each strategy: all sites together with its interval, and every site alone."""
    rows = results.rows("figures/summary.csv", task=task, metric="auroc")
    points = [numbers(row, "value", "ci_low", "ci_high") for row in rows if row["value"]]
    pooled = [point for point in points if point["site"] == results.whole]
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
    area = results.area(task)
    return charts.draw(
        chart,
        f"overview-{task}",
        title=f"{'Mean AUROC of the sites' if results.federated else area[0].upper() + area[1:]} with 95 % "
        "interval; grey ticks "
        "are single sites",
        description=f"AUROC over all sites by strategy: {words}.",
        source="figures/summary.csv",
    )


def forest(results: Results, task: str, strategies: list[str]) -> Figure | None:
    """AUROC of every strategy at every site, with its interval."""
    rows = results.rows("figures/summary.csv", task=task, metric="auroc")
    points = [
        {**numbers(row, "value", "ci_low", "ci_high"), "hover": _hover(row)} for row in rows if row["value"]
    ]
    other = {"all", "stratified"} - {results.whole}
    sites = list(dict.fromkeys(point["site"] for point in points if point["site"] not in other))[-20:]
    points = [point for point in points if point["site"] in sites and point["strategy"] in strategies]
    if not points:
        return None
    sites = sorted(sites, key=lambda site: site == results.whole)
    y = alt.Y("site:N", sort=sites, title=None, axis=_bare())
    offset = alt.YOffset("strategy:N", sort=strategies)
    tint, base = charts.colour(strategies), alt.Chart(charts.data(points))
    x = alt.X("value:Q", title="AUROC", scale=alt.Scale(zero=False, nice=True), axis=alt.Axis(tickCount=5))
    known = alt.Chart(charts.data([point for point in points if point["ci_low"] is not None]))
    chart = alt.layer(
        known.mark_rule(strokeWidth=1.6).encode(alt.X("ci_low:Q"), y, alt.X2("ci_high"), tint, offset),
        base.mark_point(filled=True, size=45, opacity=1).encode(
            x, y, tint, offset, charts.mark(strategies, "strategy"), alt.Description("hover:N")
        ),
    ).properties(width=BAR, height=alt.Step(max(7, 52 // len(strategies))))
    words = "; ".join(point["hover"] for point in points if point["site"] == results.whole)
    return charts.draw(
        chart,
        f"forest-{task}",
        title="AUROC at every site with 95 % interval; a perfect ranking has none",
        description=f"AUROC by site and strategy. {words}.",
        source="figures/summary.csv",
    )


def target(results: Results, task: str, strategies: list[str], measure: str) -> Figure | None:
    """What each seed of each strategy took until validation was as good as the reference, up to the margin.

    By AUROC, or by loss where no site has enough validation records for one.
    """
    every = results.rows("figures/target.csv", task=task)
    by = "auroc" if any(row["measure"] == "auroc" and row["target"] for row in every) else "loss"
    rows = [row for row in every if row["measure"] == by]
    points = [
        {
            **numbers(row, measure),
            "hover": f"{row['strategy']}, seed {row['seed']}: {float(row[measure]):.3g}",
        }
        for row in rows
        if row[measure] and float(row[measure]) > 0
    ]
    if not points:
        return None
    y = alt.Y("strategy:N", sort=strategies, title=None, axis=_bare(), scale=alt.Scale(domain=strategies))
    x = alt.X(f"{measure}:Q", title=TARGETS[measure], scale=alt.Scale(type="log", nice=False, padding=12),
              axis=alt.Axis(tickCount=4, format="~g" if measure == "seconds" else ".3~s"))  # fmt: skip
    missed = [f"{row['strategy']} with seed {row['seed']}" for row in rows if row["reached"] == "0"]
    chart = alt.Chart(charts.data(points)).mark_point(filled=True, size=70, opacity=0.85)
    marks = chart.encode(x, y, charts.colour(strategies), alt.Description("hover:N"))
    return charts.draw(
        alt.layer(marks).properties(width=BAR, height=max(60, 26 * len(strategies))),
        f"target-{measure}-{task}",
        title=f"To the target {'AUROC' if by == 'auroc' else 'loss'} in validation: {TARGETS[measure]}; a "
        "dot for each seed that reached it",
        description="; ".join(point["hover"] for point in points)
        + (f". Not reached: {', '.join(missed)}." if missed else "."),
        source="figures/target.csv",
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


def _hover(row: Row) -> str:
    interval = f" ({float(row['ci_low']):.3f} to {float(row['ci_high']):.3f})" if row["ci_low"] else ""
    return f"{row['strategy']}, {row['site']}: {float(row['value']):.3f}{interval}"


def _effects(results: Results, task: str) -> charts.Points:
    judged = {
        (row["strategy"], row["reference"]): row["verdict"]
        for row in results.rows("differences.csv", task=task)
    }
    columns = ("difference", "low_90", "high_90", "low_95", "high_95")
    return [
        {**numbers(row, *columns), "pair": f"{row['strategy']} \u2212 {row['reference']}"}
        for row in results.rows("figures/effects.csv", task=task, metric=results.primary)
        if row["difference"] and judged[row["strategy"], row["reference"]] != "identical"
    ]


def _in_words(point: dict[str, Any]) -> str:
    return (
        f"{point['pair']}: {point['difference']:+.3f}, 90 % {point['low_90']:+.3f} to {point['high_90']:+.3f}"
    )


def _bare() -> alt.Axis:
    return alt.Axis(grid=False, ticks=False, domain=False)
