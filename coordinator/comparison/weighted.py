"""All metrics under many sets of record weights at once, equal to scikit-learn's ``sample_weight``.

Scores are sorted once; a resample only changes weights, so each metric is a few cumulative sums.
"""

import numpy as np
from numpy.typing import NDArray

from coordinator.calibration import intercepts, log_odds, slopes
from coordinator.comparison.resampling import Weights
from coordinator.metrics import (
    BINS,
    METRICS,
    SENSITIVITY,
    Labels,
    Scores,
    allowed_alarms,
    bin_of,
    predicted,
)  # fmt: skip

Floats = NDArray[np.float64]
BLOCK = 1 << 21  # weights turned into floats at once


def weighted_metrics(
    labels: Labels, scores: Scores, weights: Weights, specificity: float = 0.9
) -> dict[str, Floats]:
    """Compute every metric under each row of weights.

    Args:
        labels: (n,) 0 or 1.
        scores: (n,) probability of label 1, finite.
        weights: (resamples, n) how often each record counts.
        specificity: at which the sensitivity is taken.

    Returns:
        metric to (resamples,), NaN where it is undefined; ``pairs`` to (resamples,), the weight of
        all (positive, negative) pairs.
    """
    rows = max(1, BLOCK // max(1, len(labels)))
    blocks = [
        _block(labels, scores, weights[i : i + rows], specificity) for i in range(0, len(weights), rows)
    ]
    return {name: np.concatenate([block[name] for block in blocks]) for name in [*METRICS, "pairs"]}


def _block(labels: Labels, scores: Scores, weights: Weights, specificity: float) -> dict[str, Floats]:
    full = weights.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            **ranked(labels, scores, full, specificity),
            **_decided(labels, scores, full),
            **_calibrated(labels, scores, full),
        }


def ranked(labels: Labels, scores: Scores, weights: Floats, specificity: float) -> dict[str, Floats]:
    """Compute what only the scores' order gives, under each row of weights (resamples, n), as above."""
    order = np.argsort(-scores, kind="stable")
    ordered, positive = weights[:, order], labels[order]
    # one group per distinct score: tied records count half against each other
    starts = np.flatnonzero(np.diff(scores[order], prepend=np.inf))
    positives = np.add.reduceat(ordered * positive, starts, axis=1)  # (resamples, groups)
    negatives = np.add.reduceat(ordered * (1 - positive), starts, axis=1)
    above, drawn = positives.cumsum(axis=1), (positives + negatives).cumsum(axis=1)
    pairs = positives.sum(axis=1) * negatives.sum(axis=1)
    concordant = (negatives * (above - positives / 2)).sum(axis=1)
    precision = np.divide(above, drawn, out=np.zeros_like(above), where=drawn > 0)
    area = (positives * precision).sum(axis=1) / positives.sum(axis=1)
    alarms = negatives.cumsum(axis=1) / negatives.sum(axis=1)[:, None]
    found = np.where(alarms <= allowed_alarms(specificity), above, 0.0).max(axis=1) / above[:, -1]
    return {
        "auroc": concordant / pairs, "auprc": np.where(pairs > 0, area, np.nan), "pairs": pairs,
        SENSITIVITY: np.where(pairs > 0, found, np.nan),
    }  # fmt: skip


def _decided(labels: Labels, scores: Scores, weights: Floats) -> dict[str, Floats]:
    guess = predicted(scores)
    hit, miss = weights @ (labels * guess), weights @ (labels * (1 - guess))
    alarm, rest = weights @ ((1 - labels) * guess), weights @ ((1 - labels) * (1 - guess))
    return {
        "accuracy": (hit + rest) / weights.sum(axis=1),
        "balanced_accuracy": (hit / (hit + miss) + rest / (alarm + rest)) / 2,
        "f1": 2 * hit / (2 * hit + alarm + miss),
    }


def _calibrated(labels: Labels, scores: Scores, weights: Floats) -> dict[str, Floats]:
    total, error, odds = weights.sum(axis=1), labels - scores, log_odds(scores)
    in_bin = (bin_of(scores)[:, None] == np.arange(BINS)) * error[:, None]  # (n, bins)
    return {
        "brier": weights @ error**2 / total,
        "ece": np.abs(weights @ in_bin).sum(axis=1) / total,
        "calibration_intercept": intercepts(labels, odds, weights),
        "calibration_slope": slopes(labels, odds, weights),
    }
