"""What a test set could have seen, and the other metrics' differences, corrected for their number."""

from typing import Any, Final

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm

from coordinator.comparison.differences import Effect, effect, interval, pairs_of
from coordinator.comparison.estimates import ALL, Estimates, Rows
from coordinator.comparison.predictions import TaskScores
from coordinator.metrics import PRIMARY

CORRELATION: Final = 0.9  # of two strategies' scores, assumed before anything is known
SEEN: Final = float(norm.ppf(0.975) + norm.ppf(0.80))  # 5 % two-sided, 80 % power
LEAST: Final = 1e-9


def power_rows(scores: TaskScores, estimates: Estimates, *, reference: str, margin: float) -> Rows:
    """List the smallest difference each comparison could have seen with 80 % power.

    ``planned`` assumes nothing but the reference's AUROC and that scores are correlated at 0.9;
    ``detectable`` takes the interval as found; ``chance`` is how often two strategies that are truly equal
    would be called equivalent with it. Of several classes nothing is planned: their mean AUROC's variance has
    no formula.
    """
    n, events = len(scores.label), None if scores.classes else int(scores.label.sum())
    rows: Rows = []
    for strategy, other in _compared(scores.task, estimates, reference):
        base = estimates[other][ALL, PRIMARY].values
        found = effect(estimates[strategy][ALL, PRIMARY], estimates[other][ALL, PRIMARY])
        error = float(np.hypot(found.se_patients, found.se_seeds))
        row: dict[str, Any] = {"task": scores.task, "strategy": strategy, "reference": other, "n": n,
                               "events": events, "margin": margin}  # fmt: skip
        if not np.isnan(error):
            row |= {"detectable": detectable(found), "chance": chance(found, margin)}
            if events is not None:
                area = float(np.mean([value.value for value in base if value.value is not None]))
                row["planned"] = planned(area, events, n - events)
        rows.append(row)
    return rows


def planned(area: float, events: int, others: int) -> float:
    """Give the difference seen with 80 % power, by the AUROC's variance of Hanley & McNeil (1982)."""
    one, two = area / (2 - area), 2 * area**2 / (1 + area)
    spread = area * (1 - area) + (events - 1) * (one - area**2) + (others - 1) * (two - area**2)
    return SEEN * float(np.sqrt(2 * (1 - CORRELATION) * spread / (events * others)))


def detectable(found: Effect) -> float:
    """Give the difference whose 95 % interval, as wide as the one found, excludes zero 4 times in 5."""
    error = np.hypot(found.se_patients, found.se_seeds)
    return interval(found, 0.95)[1] - found.difference + float(norm.ppf(0.80) * error)


def chance(found: Effect, margin: float) -> float:
    """Give the chance of `equivalent` where there is no difference, by the interval's width as found."""
    error = np.hypot(found.se_patients, found.se_seeds)
    room = margin - (interval(found, 0.90)[1] - found.difference)
    if error == 0:
        return float(room > 0)
    return max(0.0, float(2 * norm.cdf(room / error) - 1))


def secondary_rows(
    scores: TaskScores, estimates: Estimates, *, reference: str, twins: dict[str, str]
) -> Rows:
    """List the other metrics' differences with 95 % intervals, and p values, Holm's (1979) too."""
    rows: Rows = []
    for strategy, other in _compared(scores.task, estimates, reference):
        if f"{scores.task}/{strategy}" in twins:  # its twin's result, said once
            continue
        for metric in [each for place, each in estimates[strategy] if place == ALL]:
            found = effect(estimates[strategy][ALL, metric], estimates[other][ALL, metric])
            if metric == PRIMARY or np.isnan(found.difference) or np.isnan(found.se_patients):
                continue
            low, high = interval(found, 0.95)
            rows.append({"task": scores.task, "strategy": strategy, "reference": other, "metric": metric,
                         "difference": found.difference, "ci_low": low, "ci_high": high,
                         "p": p_value(found)})  # fmt: skip
    for row, adjusted in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row["p_holm"] = adjusted
    return rows


def p_value(found: Effect) -> float:
    """Give the two-sided p value: one minus the level of the interval that just touches zero."""

    def beyond(level: float) -> float:
        return (interval(found, level)[1] - found.difference) - abs(found.difference)

    if found.difference == 0 or beyond(LEAST) > 0:
        return 1.0
    return LEAST if beyond(1 - LEAST) < 0 else 1 - float(brentq(beyond, LEAST, 1 - LEAST))


def holm(values: list[float]) -> list[float]:
    """Adjust p values step by step (Holm 1979); each is at least the one before it in order of size."""
    order, adjusted, largest = np.argsort(values), [0.0] * len(values), 0.0
    for place, number in enumerate(order):
        largest = max(largest, min(1.0, (len(values) - place) * values[number]))
        adjusted[number] = largest
    return adjusted


def _compared(task: str, estimates: Estimates, reference: str) -> list[tuple[str, str]]:
    return pairs_of(task, list(estimates), reference, {})
