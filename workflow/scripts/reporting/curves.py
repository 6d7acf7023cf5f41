"""Figures with one line per strategy: ROC, precision and recall, calibration, decisions, learning."""

from typing import Any

import altair as alt

from reporting import charts
from reporting.charts import HEIGHT, MUTED, WIDTH, Figure, Points
from reporting.figures import numbers
from reporting.files import Results, Row, distinct

UNIT = alt.Scale(domain=[0, 1])
FREE = alt.Scale(zero=False)
FEW = alt.Axis(tickCount=5)
MEASURED = {"validation_loss": "validation loss", "validation_auroc": "validation AUROC"}
LEARNING = {"round": "round, from 0", "seconds": "seconds", "bytes": "bytes moved, both ways (log scale)"}


def roc(results: Results, task: str, strategies: list[str], shown: list[str]) -> Figure | None:
    """ROC curves, mean over seeds."""
    rows = results.rows("figures/roc.csv", task=task, seed="mean")
    points = _points(rows, shown, "false_positive_rate", "true_positive_rate")
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


def precision_recall(results: Results, task: str, strategies: list[str], shown: list[str]) -> Figure | None:
    """Precision against recall, mean over seeds."""
    rows = results.rows("figures/precision_recall.csv", task=task)
    points = _points(rows, shown, "recall", "precision")
    if not points:
        return None
    x = alt.X("recall:Q", title="recall (sensitivity)", scale=UNIT, axis=FEW)
    y = alt.Y("precision:Q", title="precision", scale=UNIT, axis=FEW)
    lines = _lines(points, strategies, x, y, order="at", interpolate="step-before")
    return charts.draw(
        alt.layer(lines).properties(width=WIDTH, height=HEIGHT),
        f"precision-{task}",
        title="Precision and recall, all sites, mean over seeds",
        description=f"Precision against recall of {', '.join(shown)}; the table gives the areas (AUPRC).",
        source="figures/precision_recall.csv",
    )


def decision(results: Results, task: str, strategies: list[str], shown: list[str]) -> Figure | None:
    """Net benefit against the probability at which one would treat, beside treating all and nobody."""
    rows = results.rows("figures/decision.csv", task=task)
    points = _points(rows, shown, "threshold", "net_benefit", "treat_all")
    if not points:
        return None
    highest = max(point["treat_all"] for point in points) * 1.15 + 0.01
    lowest = -0.2 * highest
    inside = [point for point in points if point["net_benefit"] >= lowest]
    every = [point for point in points if point["strategy"] == shown[0] and point["treat_all"] >= lowest]
    x = alt.X("threshold:Q", title="threshold probability", scale=UNIT, axis=FEW)
    y = alt.Y("net_benefit:Q", title="net benefit", scale=alt.Scale(domain=[lowest, highest]), axis=FEW)
    base, nobody = alt.Chart(charts.data(every)), alt.Chart(charts.data([{"at": 0}]))
    everybody = base.mark_line(color=MUTED, strokeWidth=1, strokeDash=[3, 3])
    lines = _lines(inside, strategies, x, y, order="at")
    return charts.draw(
        alt.layer(
            nobody.mark_rule(color=MUTED, strokeWidth=1).encode(y="at:Q"),
            everybody.encode(x, alt.Y("treat_all:Q")),
            lines,
        ).properties(width=WIDTH, height=HEIGHT),
        f"decision-{task}",
        title="Decision curves: net benefit; dotted: treat all, level line: treat nobody",
        description=f"Net benefit of {', '.join(shown)} by threshold probability (Vickers and Elkin 2006).",
        source="figures/decision.csv",
    )


def calibration(results: Results, task: str, strategies: list[str], shown: list[str]) -> Figure | None:
    """Observed share of label 1 against the mean score, by bin."""
    rows = results.rows("figures/calibration.csv", task=task)
    points = _points(rows, shown, "mean_score", "observed", "n")
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


def learning(
    results: Results, task: str, strategies: list[str], against: str, measure: str = "validation_loss"
) -> Figure | None:
    """Validation by ``round``, ``seconds`` or ``bytes``: mean over seeds, and sites that train alone."""
    rows = results.rows("figures/learning.csv", task=task)
    points = [point for point in _mean_rounds(rows, measure) if against != "bytes" or point["bytes"] > 0]
    if not points:
        return None
    title, what = LEARNING[against], MEASURED[measure]
    # bytes differ by orders of magnitude between strategies
    scale = FREE if against != "bytes" else alt.Scale(type="log", nice=False)
    step = 1 if against == "round" else alt.Undefined
    axis = alt.Axis(tickCount=5, format="~s" if against == "bytes" else "~r", tickMinStep=step)
    x = alt.X(f"{against}:Q", title=title, scale=scale, axis=axis)
    y = alt.Y(f"{measure}:Q", title=what, scale=FREE, axis=FEW)
    last = {point["strategy"]: point[measure] for point in points}
    name = "learning" if measure == "validation_loss" else "learning-auroc"
    return charts.draw(
        alt.layer(_lines(points, strategies, x, y, order="round")).properties(width=WIDTH, height=HEIGHT),
        f"{name}-{against}-{task}",
        title=f"{what[0].upper()}{what[1:]} by {title}",
        description="Last values: " + "; ".join(f"{name} {value:.3f}" for name, value in last.items()) + ".",
        source="figures/learning.csv",
    )


def _points(rows: list[Row], shown: list[str], *columns: str) -> Points:
    return [numbers(row, *columns) for row in rows if row["strategy"] in shown]


def _mean_rounds(rows: list[Row], measure: str) -> Points:
    points: Points = []
    for strategy in distinct(rows, "strategy"):
        own = [row for row in rows if row["strategy"] == strategy and row[measure]]
        for number in distinct(own, "round"):
            at = [numbers(row, measure, "bytes", "seconds") for row in own if row["round"] == number]
            # bytes and seconds are the whole run's, in every row
            means = {name: _mean(at, name) for name in (measure, "bytes", "seconds")}
            points.append({"strategy": strategy, "round": int(number), **means})
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
