"""How well scores predict labels: arrays in, floats out, and a reason where a metric is undefined."""

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics as sk

from coordinator import calibration

BINS: Final = 15
THRESHOLD: Final = 0.5
PRIMARY: Final = "auroc"
SENSITIVITY: Final = "sensitivity_at_specificity"
ONE_CLASS: Final = "only one class among the labels"
PARTED: Final = "a cut of the scores parts the classes: no slope is finite"

Labels = NDArray[np.int64]
Scores = NDArray[np.float64]


class Value(NamedTuple):
    """A metric's value, or None and the reason why it has none."""

    value: float | None
    reason: str = ""


def auroc(labels: Labels, scores: Scores) -> Value:
    """Chance that a positive record scores above a negative one, ties counting half."""
    return _two_classes(sk.roc_auc_score, labels, scores)


def auprc(labels: Labels, scores: Scores) -> Value:
    """Average precision: the step-wise area under precision against recall."""
    return _two_classes(sk.average_precision_score, labels, scores)


def accuracy(labels: Labels, scores: Scores) -> Value:
    """Share of records on the right side of 0.5 (a score of 0.5 predicts label 1)."""
    return Value(float(sk.accuracy_score(labels, predicted(scores))))


def balanced_accuracy(labels: Labels, scores: Scores) -> Value:
    """Mean of sensitivity and specificity at 0.5."""
    return _two_classes(sk.balanced_accuracy_score, labels, predicted(scores))


def f1(labels: Labels, scores: Scores) -> Value:
    """Harmonic mean of precision and recall of label 1 at 0.5."""
    if not (labels.any() or predicted(scores).any()):
        return Value(None, "no positive label and none predicted")
    return Value(float(sk.f1_score(labels, predicted(scores))))


def brier(labels: Labels, scores: Scores) -> Value:
    """Mean squared difference of score and label (Brier 1950, halved for two classes)."""
    return Value(float(np.mean((scores - labels) ** 2)))


def ece(labels: Labels, scores: Scores) -> Value:
    """Expected calibration error of the probability of label 1 (Naeini et al. 2015).

    15 bins of equal width over [0, 1], closed on the left, the last on both sides; the record-weighted
    mean over bins of |share of label 1 - mean score|.
    """
    gaps = np.bincount(bin_of(scores), weights=labels - scores, minlength=BINS)
    return Value(float(np.abs(gaps).sum() / len(labels)))


def calibration_intercept(labels: Labels, scores: Scores) -> Value:
    """Move of the log odds that makes the mean right (Cox 1958): 0 is best, below 0 scores are too high."""
    return _two_classes(_fitted(calibration.intercepts), labels, calibration.log_odds(scores))


def calibration_slope(labels: Labels, scores: Scores) -> Value:
    """Stretch of the log odds that fits best (Cox 1958): 1 is best, below 1 scores are too extreme."""
    odds = calibration.log_odds(scores)
    if labels.min() != labels.max() and calibration.parted(labels, odds):
        return Value(None, PARTED)
    return _two_classes(_fitted(calibration.slopes), labels, odds)


def sensitivity(labels: Labels, scores: Scores, specificity: float = 0.9) -> Value:
    """Largest share of positives found by a threshold that keeps at least this specificity."""

    def best(labels: Labels, scores: NDArray[np.number]) -> float:
        alarms, found, _ = sk.roc_curve(labels, scores, drop_intermediate=False)
        return float(found[alarms <= allowed_alarms(specificity)].max())

    return _two_classes(best, labels, scores)


def allowed_alarms(specificity: float) -> float:
    """Give the largest false-positive rate, with room for the rounding of a quotient."""
    return 1 - specificity + 1e-9


METRICS: Final[dict[str, Callable[[Labels, Scores], Value]]] = {
    "auroc": auroc,
    "auprc": auprc,
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "f1": f1,
    "brier": brier,
    "ece": ece,
    "calibration_intercept": calibration_intercept,
    "calibration_slope": calibration_slope,
    SENSITIVITY: sensitivity,
}


def measure(labels: Labels, scores: Scores, specificity: float = 0.9) -> dict[str, Value]:
    """Compute every metric; labels (n,) of 0 and 1, scores (n,) the probability of label 1."""
    problem = problem_of(scores)
    if problem:
        return {name: Value(None, problem) for name in METRICS}
    values = {name: metric(labels, scores) for name, metric in METRICS.items() if name != SENSITIVITY}
    return {**values, SENSITIVITY: sensitivity(labels, scores, specificity)}


def predicted(scores: Scores) -> Labels:
    """Decide at 0.5; 0.5 itself predicts label 1."""
    return (scores >= THRESHOLD).astype(np.int64)


def bin_of(scores: Scores) -> Labels:
    """Number each score's calibration bin, 0 to 14."""
    return np.minimum((scores * BINS).astype(np.int64), BINS - 1)


def problem_of(scores: Scores) -> str:
    """Say why no metric is defined for some scores; empty: each may be."""
    if len(scores) == 0:
        return "no test records"
    return "" if np.isfinite(scores).all() else "a score is not a finite number: training diverged"


def _fitted(
    fit: Callable[[Labels, Scores, Scores], Scores],
) -> Callable[[Labels, NDArray[np.number]], float]:
    return lambda labels, odds: float(fit(labels, odds.astype(np.float64), np.ones((1, len(odds))))[0])


def _two_classes(
    metric: Callable[[Labels, NDArray[np.number]], float], labels: Labels, against: NDArray[np.number]
) -> Value:
    if labels.min() == labels.max():
        return Value(None, ONE_CLASS)
    return Value(float(metric(labels, against)))
