"""The points of the figures' curves, from all sites' test records together."""

import numpy as np
from sklearn.metrics import precision_recall_curve, roc_curve

from coordinator.comparison.estimates import Rows
from coordinator.comparison.predictions import TaskScores
from coordinator.metrics import BINS, Labels, Scores, bin_of

GRID = np.linspace(0, 1, 101)


def roc_rows(scores: TaskScores) -> Rows:
    """List each run's ROC curve, and for each strategy the mean over seeds at fixed false-positive rates."""
    rows: Rows = []
    for strategy, by_seed in scores.scores.items():
        curves = {seed: _roc(scores.label, found) for seed, found in by_seed.items()}
        defined = [curve for curve in curves.values() if curve is not None]
        if len(defined) != len(curves):
            continue  # one class only, or a diverged run: reasons.csv says so
        mean = np.mean([_at_grid(*curve) for curve in defined], axis=0)
        named = [*zip(curves, defined, strict=True), ("mean", (np.r_[0.0, GRID], np.r_[0.0, mean]))]
        rows += [
            {"task": scores.task, "strategy": strategy, "seed": seed,
             "false_positive_rate": float(x), "true_positive_rate": float(y)}
            for seed, curve in named
            for x, y in zip(*curve, strict=True)
        ]  # fmt: skip
    return rows


def calibration_rows(scores: TaskScores) -> Rows:
    """List the 15 bins of the calibration error; ``n`` counts a record once per seed."""
    rows: Rows = []
    for strategy, by_seed in scores.scores.items():
        score = np.concatenate(list(by_seed.values()))
        label = np.tile(scores.label, len(by_seed))
        if not np.isfinite(score).all():
            continue
        members = bin_of(score)
        for i in np.unique(members):
            inside = members == i
            rows.append({
                "task": scores.task, "strategy": strategy, "bin": int(i),
                "low": i / BINS, "high": (i + 1) / BINS, "n": int(inside.sum()),
                "mean_score": float(score[inside].mean()),
                "observed": float(label[inside].mean()),
            })  # fmt: skip
    return rows


def precision_recall_rows(scores: TaskScores) -> Rows:
    """List the mean over seeds of the precision at the first threshold that finds each share of positives."""
    rows: Rows = []
    for strategy, by_seed in scores.scores.items():
        if any(_roc(scores.label, found) is None for found in by_seed.values()):
            continue
        precision = np.mean([_precision(scores.label, found) for found in by_seed.values()], axis=0)
        rows += [
            {"task": scores.task, "strategy": strategy, "recall": float(x), "precision": float(y)}
            for x, y in zip(GRID[1:], precision, strict=True)
        ]
    return rows


def decision_rows(scores: TaskScores) -> Rows:
    """List net benefit by threshold probability, mean over seeds (Vickers & Elkin 2006).

    Net benefit = true positives / n - false positives / n * t / (1 - t); treating nobody has 0.
    """
    share = float(scores.label.mean())
    return [
        {"task": scores.task, "strategy": strategy, "threshold": t, "n": len(scores.label),
         "net_benefit": float(np.mean([net_benefit(scores.label, found, t) for found in by_seed.values()])),
         "treat_all": share - (1 - share) * t / (1 - t)}
        for strategy, by_seed in scores.scores.items()
        if all(np.isfinite(found).all() for found in by_seed.values())
        for t in GRID[1:-1].tolist()
    ]  # fmt: skip


def net_benefit(label: Labels, score: Scores, threshold: float) -> float:
    """Give the net benefit of treating whoever scores at least the threshold."""
    treated = score >= threshold
    weight = threshold / (1 - threshold)
    return float((treated & (label == 1)).mean() - (treated & (label == 0)).mean() * weight)


def _precision(label: Labels, score: Scores) -> Scores:
    precision, recall, _ = precision_recall_curve(label, score)
    # recall falls along the curve: the last point that still reaches each share
    reached = len(recall) - 1 - np.searchsorted(recall[::-1], GRID[1:] - 1e-12)
    return np.asarray(precision[reached])


def _roc(label: Labels, score: Scores) -> tuple[Scores, Scores] | None:
    if not np.isfinite(score).all() or len(np.unique(label)) < 2:
        return None
    x, y, _ = roc_curve(label, score)
    return x, y


def _at_grid(x: Scores, y: Scores) -> Scores:
    # the highest true-positive rate reached at or below each false-positive rate: no interpolation
    return y[np.searchsorted(x, GRID, side="right") - 1]
