"""Logistic recalibration (Cox 1958): how far log odds would have to be moved or stretched to be right.

Intercept ("calibration in the large"): logit P(y = 1) = intercept + logit(score).
Slope: logit P(y = 1) = a + slope * logit(score); below 1 the scores are too extreme.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
NEAREST: Final = 1e-12  # a score is taken for no nearer to 0 or 1, where log odds are infinite
ROUNDS, STEP, CLOSE = 200, 1.0, 1e-6  # a step this small leaves an error of its square


def log_odds(scores: Floats) -> Floats:
    """Turn probabilities (n,) into log odds."""
    inside = np.clip(scores, NEAREST, 1 - NEAREST)
    odds: Floats = np.log(inside) - np.log1p(-inside)
    return odds


def intercepts(labels: NDArray[np.int64], odds: Floats, weights: Floats) -> Floats:
    """Fit the intercept under each row of weights (resamples, n); NaN where one class is left."""
    rows = _both(labels, weights)
    own = weights[rows]
    at = np.zeros(len(own))
    for _ in range(ROUNDS):
        chance = _chance(at[:, None] + odds)
        step = (own * (labels - chance)).sum(axis=1) / (own * chance * (1 - chance)).sum(axis=1)
        at += np.clip(step, -STEP, STEP)
        if not (np.abs(step) > CLOSE).any():
            break
    return _filled(rows, at)


def slopes(labels: NDArray[np.int64], odds: Floats, weights: Floats) -> Floats:
    """Fit the slope under each row of weights (resamples, n); NaN where a cut of the odds parts the classes.

    Newton's steps on the log likelihood, which is concave, of odds scaled to variance 1.
    """
    centre, scale = odds.mean(), odds.std() or 1.0
    x = (odds - centre) / scale
    rows = ~_parted(labels, odds, weights)
    start = np.zeros((2, 1))
    if not parted(labels, odds):  # all records' fit is near every resample's
        start = _climbed(labels, x, np.ones((1, len(odds))), start)
    at = _climbed(labels, x, weights[rows], np.repeat(start, rows.sum(), axis=1))
    return _filled(rows, at[1] / scale)


def parted(labels: NDArray[np.int64], odds: Floats) -> bool:
    """Say whether a cut of the odds parts the classes, so that no slope is finite."""
    return bool(_parted(labels, odds, np.ones((1, len(odds))))[0])


def _climbed(labels: NDArray[np.int64], x: Floats, weights: Floats, at: Floats) -> Floats:
    for _ in range(ROUNDS):
        step = _newton(labels, x, weights, at)
        at = at + step / np.maximum(1.0, np.hypot(*step) / STEP)
        if not (np.abs(step) > CLOSE).any():
            break
    return at


def _newton(labels: NDArray[np.int64], x: Floats, weights: Floats, at: Floats) -> Floats:
    chance = _chance(at[0][:, None] + at[1][:, None] * x)
    error, curve = weights * (labels - chance), weights * chance * (1 - chance)
    first, second = error.sum(axis=1), error @ x
    one, two, three = curve.sum(axis=1), curve @ x, curve @ x**2
    area = one * three - two**2
    return np.stack([three * first - two * second, one * second - two * first]) / area


def _filled(rows: NDArray[np.bool_], values: Floats) -> Floats:
    found = np.full(len(rows), np.nan)
    found[rows] = values
    return found


def _chance(odds: Floats) -> Floats:
    return np.asarray(0.5 * (1 + np.tanh(odds / 2)))


def _both(labels: NDArray[np.int64], weights: Floats) -> NDArray[np.bool_]:
    positive = (weights * labels).sum(axis=1)
    return np.asarray((positive > 0) & (positive < weights.sum(axis=1)))


def _parted(labels: NDArray[np.int64], odds: Floats, weights: Floats) -> NDArray[np.bool_]:
    lowest, highest = [], []
    for label in (0, 1):
        own = weights[:, labels == label] > 0
        values = odds[labels == label]
        lowest.append(np.where(own, values, np.inf).min(axis=1, initial=np.inf))
        highest.append(np.where(own, values, -np.inf).max(axis=1, initial=-np.inf))
    return np.asarray((highest[0] <= lowest[1]) | (highest[1] <= lowest[0]))
