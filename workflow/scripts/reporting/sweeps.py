"""Figures of cost against cut depth and against the number of sites."""

import altair as alt

from reporting import charts
from reporting.charts import HEIGHT, WIDTH, Figure
from reporting.figures import numbers
from reporting.files import Results, distinct

MEASURES = {
    "bytes": "bytes per site, both ways",
    "flops": "operations per site",
    "seconds": "seconds of the run",
}
KINDS = {"cut": "cut after, from shallow to deep", "sites": "sites"}


def sweep(results: Results, task: str, strategies: list[str], kind: str, measure: str) -> Figure | None:
    """Draw one cost against what the study varies, a line for each strategy that it varies it for."""
    rows = results.rows("figures/sweeps.csv", task=task, kind=kind)
    points = [
        {
            **numbers(row, "place", measure),
            "strategy": row["family"],
            "hover": f"{row['family']}, {row['label']}: {float(row[measure]):.3g}",
        }
        for row in rows
        if row[measure] and float(row[measure]) > 0
    ]
    if len({point["label"] for point in points}) < 2:
        return None
    order = [row["label"] for row in sorted(rows, key=lambda row: float(row["place"]))]
    x = alt.X(
        "label:N",
        title=KINDS[kind],
        sort=list(dict.fromkeys(order)),
        axis=alt.Axis(labelAngle=-30 if kind == "cut" else 0),
    )
    scale, axis = alt.Scale(type="log", nice=False, padding=8), alt.Axis(tickCount=5, format=".3~s")
    y = alt.Y(f"{measure}:Q", title=f"{MEASURES[measure]} (log scale)", axis=axis, scale=scale)
    tint, dash = charts.colour(strategies), charts.dash(strategies)
    base = alt.Chart(charts.data(points))
    lines = base.mark_line(strokeWidth=1.8).encode(x, y, tint, dash, alt.Order("place:Q"))
    dots = base.mark_point(filled=True, size=45, opacity=1).encode(x, y, tint, alt.Description("hover:N"))
    return charts.draw(
        alt.layer(lines, dots).properties(width=WIDTH, height=HEIGHT),
        f"sweep-{kind}-{measure}-{task}",
        title=f"{MEASURES[measure][0].upper()}{MEASURES[measure][1:]} against "
        f"{'cut depth' if kind == 'cut' else 'number of sites'}, mean over seeds",
        description="; ".join(point["hover"] for point in points) + ".",
        source="figures/sweeps.csv",
    )


def kinds_of(results: Results, task: str) -> list[str]:
    """Name what the study varies around a task."""
    return distinct(results.rows("figures/sweeps.csv", task=task), "kind")
