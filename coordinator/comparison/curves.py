"""The points of the ROC and calibration curves, from all sites' test records together."""

import numpy as np
from sklearn.metrics import roc_curve

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


def _roc(label: Labels, score: Scores) -> tuple[Scores, Scores] | None:
    if not np.isfinite(score).all() or len(np.unique(label)) < 2:
        return None
    x, y, _ = roc_curve(label, score)
    return x, y


def _at_grid(x: Scores, y: Scores) -> Scores:
    # the highest true-positive rate reached at or below each false-positive rate: no interpolation
    return y[np.searchsorted(x, GRID, side="right") - 1]
