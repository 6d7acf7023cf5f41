"""Figures with one line per strategy: ROC, calibration, learning."""

from typing import Any

import altair as alt

from reporting import charts
from reporting.charts import HEIGHT, MUTED, WIDTH, Figure, Points
from reporting.figures import numbers
from reporting.files import Results, Row, distinct

UNIT = alt.Scale(domain=[0, 1])
FREE = alt.Scale(zero=False)
FEW = alt.Axis(tickCount=5)


def roc(results: Results, task: str, strategies: list[str], shown: list[str]) -> Figure | None:
    """ROC curves, mean over seeds."""
    rows = [
        row for row in results.rows("figures/roc.csv", task=task, seed="mean") if row["strategy"] in shown
    ]
    points = [numbers(row, "false_positive_rate", "true_positive_rate") for row in rows]
    if not points:
        return None
    x = alt.X("false_positive_rate:Q", title="1 \u2212 specificity", scale=UNIT, axis=FEW)
    y = alt.Y("true_positive_rate:Q", title="sensitivity", scale=UNIT, axis=FEW)
    lines = _lines(points, strategies, x, y, order="at", interpolate="step-after")
    return charts.draw(
        alt.layer(_diagonal(), lines).properties(width=WIDTH, height=HEIGHT),
        f"roc-{task}",
        title="ROC, all sites, mean over seeds",
        description=f"ROC curves of {', '.join(shown)}; the table gives the areas under them.",
        source="figures/roc.csv",
    )


def calibration(results: Results, task: str, strategies: list[str], shown: list[str]) -> Figure | None:
    """Observed share of label 1 against the mean score, by bin."""
    rows = [row for row in results.rows("figures/calibration.csv", task=task) if row["strategy"] in shown]
    points = [numbers(row, "mean_score", "observed", "n") for row in rows]
    if not points:
        return None
    x = alt.X("mean_score:Q", title="mean score", scale=UNIT, axis=FEW)
    y = alt.Y("observed:Q", title="observed share", scale=UNIT, axis=FEW)
    size = alt.Size("n:Q", legend=None, scale=alt.Scale(range=[12, 140]))
    dots = alt.Chart(charts.data(points)).mark_point(filled=True, opacity=0.8)
    lines = _lines(points, strategies, x, y, order="at", opacity=0.45)
    return charts.draw(
        alt.layer(_diagonal(), lines, dots.encode(x, y, charts.colour(strategies), size)).properties(
            width=WIDTH, height=HEIGHT
        ),
        f"calibration-{task}",
        title="Calibration, all sites and seeds; larger dots hold more records",
        description=f"Calibration of {', '.join(shown)} in 15 bins; the table gives the calibration error.",
        source="figures/calibration.csv",
    )


def learning(results: Results, task: str, strategies: list[str], against: str) -> Figure | None:
    """Validation loss by ``round`` or by ``bytes`` moved, mean over seeds (and sites that train alone)."""
    rows = results.rows("figures/learning.csv", task=task)
    points = [point for point in _mean_rounds(rows) if against == "round" or point["bytes"] > 0]
    if not points:
        return None
    title = "rounds" if against == "round" else "bytes moved, both ways (log scale)"
    # bytes differ by orders of magnitude between strategies
    scale = FREE if against == "round" else alt.Scale(type="log", nice=False)
    x = alt.X(f"{against}:Q", title=title, scale=scale, axis=alt.Axis(tickCount=5, format="~s"))
    y = alt.Y("validation_loss:Q", title="validation loss", scale=FREE, axis=FEW)
    last = {point["strategy"]: point["validation_loss"] for point in points}
    return charts.draw(
        alt.layer(_lines(points, strategies, x, y, order="round")).properties(width=WIDTH, height=HEIGHT),
        f"learning-{against}-{task}",
        title=f"Validation loss by {title}",
        description="Last values: " + "; ".join(f"{name} {value:.3f}" for name, value in last.items()) + ".",
        source="figures/learning.csv",
    )


def _mean_rounds(rows: list[Row]) -> Points:
    points: Points = []
    for strategy in distinct(rows, "strategy"):
        own = [row for row in rows if row["strategy"] == strategy and row["validation_loss"]]
        for number in distinct(own, "round"):
            at = [numbers(row, "validation_loss", "bytes") for row in own if row["round"] == number]
            moved = _mean(at, "bytes")  # of the whole run, in every row
            loss = _mean(at, "validation_loss")
            points.append(
                {"strategy": strategy, "round": int(number), "validation_loss": loss, "bytes": moved}
            )
    return points


def _mean(points: Points, column: str) -> float:
    return float(sum(point[column] for point in points) / len(points))


def _lines(
    points: Points, strategies: list[str], x: alt.X, y: alt.Y, *, order: str, **mark: Any
) -> alt.Chart:
    tint, dash = charts.colour(strategies), charts.dash(strategies)
    lines = alt.Chart(charts.data(points)).mark_line(strokeWidth=1.8, **mark)
    return lines.encode(x, y, tint, dash, alt.Order(f"{order}:Q"))


def _diagonal() -> alt.Chart:
    ends: Points = [{"x": 0, "y": 0}, {"x": 1, "y": 1}]
    line = alt.Chart(charts.data(ends)).mark_line(color=MUTED, strokeWidth=1, strokeDash=[3, 3])
    return line.encode(alt.X("x:Q"), alt.Y("y:Q"))
