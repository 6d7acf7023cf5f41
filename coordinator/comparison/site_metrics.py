"""A site's metrics of its own test records, as it may tell them: none from which few patients are counted."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from coordinator.comparison.estimates import Rows, comparison_rows, estimate, summary_rows
from coordinator.comparison.predictions import TaskScores
from coordinator.comparison.resampling import resample_patients
from coordinator.metrics import METRICS, SENSITIVITY, predicted

Floats = NDArray[np.float64]
NAMES: Final = tuple(METRICS)
# from these and n, who is on which side of a threshold is counted
COUNTED: Final = ("accuracy", "balanced_accuracy", "f1")


@dataclass(frozen=True)
class SiteMetrics:
    """Values with their 95 % intervals by run, intervals of the means over seeds; NaN where there is none."""

    values: Floats  # (runs, metrics, 3): value, low, high
    means: Floats  # (strategies, metrics, 2): low, high
    reasons: dict[str, str]  # run/metric -> why it has no value
    metrics: tuple[str, ...] = NAMES


def metrics_of(
    scores: TaskScores, *, min_cell: int, specificity: float, resamples: int, keyed: tuple[int | str, ...]
) -> SiteMetrics:
    """Measure one site's records, and hide what would count fewer than ``min_cell`` patients."""
    weights = resample_patients(scores.site, scores.patient, scores.label, resamples=resamples, keyed=keyed)
    found = estimate(scores, weights, specificity)
    seeds = {name: tuple(by_seed) for name, by_seed in scores.scores.items()}
    rows = _of_site(comparison_rows(scores.task, seeds, found), scores)
    means = _of_site(summary_rows(scores.task, found), scores)
    told = SiteMetrics(
        _numbers(rows, "value", "ci_low", "ci_high"),
        _numbers(means, "ci_low", "ci_high"),
        {
            f"{run}/{metric}": found[name][scores.sites[0], metric].values[i].reason
            for run, (name, i) in enumerate((name, i) for name in seeds for i in range(len(seeds[name])))
            for metric in NAMES
            if found[name][scores.sites[0], metric].values[i].value is None
        },
    )
    return _hiding(told, scores, min_cell)


def nothing_of(told: SiteMetrics, why: str) -> SiteMetrics:
    """Tell no metric at all, and why."""
    runs = range(len(told.values))
    reasons = {f"{run}/{name}": why for run in runs for name in NAMES}
    return SiteMetrics(np.full_like(told.values, np.nan), np.full_like(told.means, np.nan), reasons)


def few_counted(scores: TaskScores, score: Floats, min_cell: int) -> bool:
    """Say whether right or wrong decisions at 0.5 are, for either outcome, of a few patients only."""
    cells = [(scores.label == k) & (predicted(score) == decided) for k in (0, 1) for decided in (0, 1)]
    return any(0 < len(np.unique(scores.patient[cell])) < min_cell for cell in cells)


def few_found(scores: TaskScores, sensitivity: float, min_cell: int) -> bool:
    """Say whether the records with the outcome that are found, or missed, may be of a few patients only."""
    positive = int(scores.label.sum())
    hit = round(sensitivity * positive) if np.isfinite(sensitivity) else 0
    return 0 < hit < min_cell or 0 < positive - hit < min_cell


def _hiding(told: SiteMetrics, scores: TaskScores, min_cell: int) -> SiteMetrics:
    values, means, reasons = told.values.copy(), told.means.copy(), dict(told.reasons)
    run = 0
    for place, by_seed in enumerate(scores.scores.values()):
        for score in by_seed.values():
            small = few_counted(scores, score, min_cell)
            hidden = [name for name in COUNTED if small]
            if few_found(scores, float(values[run, NAMES.index(SENSITIVITY), 0]), min_cell):
                hidden.append(SENSITIVITY)
            for name in hidden:
                values[run, NAMES.index(name)] = means[place, NAMES.index(name)] = np.nan
                reasons[f"{run}/{name}"] = f"not told: it would count fewer than {min_cell} patients"
            run += 1
    return replace(told, values=values, means=means, reasons=reasons)


def _of_site(rows: Rows, scores: TaskScores) -> Rows:
    return [row for row in rows if row["site"] == scores.sites[0]]


def _numbers(rows: Rows, *columns: str) -> Floats:
    """Lay rows, metric by metric within each run or strategy, in an array; nothing becomes NaN."""
    own = np.array([[row[column] for column in columns] for row in rows], np.float64)
    return own.reshape(-1, len(NAMES), len(columns))
