"""How well probabilities of several classes predict, as they are and under many sets of record weights.

The macro one-vs-rest AUROC (Fawcett 2006, section 10.2, without weights) is the primary metric here: every
class counts alike, however rare. What is a mean over classes is defined where each of them has a test record.
"""

from typing import Final

import numpy as np
from sklearn import metrics as sk

from coordinator.comparison.resampling import Weights
from coordinator.comparison.weighted import BLOCK, Floats, ranked
from coordinator.metrics import BINS, PRIMARY, Labels, Value, bin_of, problem_of

METRICS: Final = (PRIMARY, "auprc", "accuracy", "balanced_accuracy", "f1", "brier", "log_loss", "ece")
MEANS: Final = (PRIMARY, "auprc", "balanced_accuracy", "f1")  # over classes
LEAST: Final = float(np.finfo(np.float64).eps)  # scikit-learn's stand-in for a probability of 0


def of_class(name: str) -> str:
    """Name the metric that is the AUROC of a class against the rest."""
    return f"{PRIMARY}_{name}"


def measure(labels: Labels, scores: Floats, classes: tuple[str, ...]) -> dict[str, Value]:
    """Compute every metric, and each class's AUROC.

    The predicted class is the likeliest, the first of equals. `brier` is the mean over records of half the
    sum of squared differences (Brier 1950), `log_loss` that of - ln of the true class's probability (nats),
    `ece` is of the predicted class's probability (Guo 2017) in 15 bins of equal width.

    Args:
        labels: (n,) numbers of classes.
        scores: (n, classes) probabilities.
        classes: their names.
    """
    if problem := problem_of(scores):
        return dict.fromkeys((*METRICS, *map(of_class, classes)), Value(None, problem))
    guess, truth = scores.argmax(axis=1), labels[:, None] == np.arange(len(classes))
    values = {
        "accuracy": Value(float(sk.accuracy_score(labels, guess))),
        "brier": Value(float(np.mean(((scores - truth) ** 2).sum(axis=1))) / 2),
        "log_loss": Value(float(sk.log_loss(labels, scores, labels=np.arange(len(classes))))),
        "ece": Value(float(np.abs(_gaps(labels, scores).sum(axis=0)).sum() / len(labels))),
    }
    lacking = [name for name, own in zip(classes, truth.T, strict=True) if not own.any()]
    if lacking:
        values |= dict.fromkeys(MEANS, Value(None, f"no test record of {' and '.join(lacking)}"))
    else:
        values |= {
            PRIMARY: Value(float(sk.roc_auc_score(truth, scores, average="macro"))),
            "auprc": Value(float(sk.average_precision_score(truth, scores, average="macro"))),
            "balanced_accuracy": Value(float(sk.balanced_accuracy_score(labels, guess))),
            "f1": Value(float(sk.f1_score(labels, guess, average="macro"))),
        }
    own = {
        of_class(name): _against_the_rest(truth[:, i], scores[:, i], name) for i, name in enumerate(classes)
    }
    return {**{name: values[name] for name in METRICS}, **own}


def _against_the_rest(inside: Labels, score: Floats, name: str) -> Value:
    if inside.all() or not inside.any():
        return Value(None, f"no test record {'beside those ' if inside.any() else ''}of {name}")
    return Value(float(sk.roc_auc_score(inside, score)))


def weighted_metrics(labels: Labels, scores: Floats, weights: Weights) -> dict[str, Floats]:
    """Compute `METRICS` as `measure` does under each row of weights; and by class, AUROC and pairs.

    Args:
        labels: (n,) numbers of classes.
        scores: (n, classes) probabilities, finite.
        weights: (resamples, n) how often each record counts.

    Returns:
        metric to (resamples,), NaN where it is undefined; ``areas`` and ``pairs`` to (resamples, classes).
    """
    rows = max(1, BLOCK // max(1, len(labels)))
    blocks = [
        _block(labels, scores, weights[i : i + rows].astype(np.float64)) for i in range(0, len(weights), rows)
    ]
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def _block(labels: Labels, scores: Floats, weights: Floats) -> dict[str, Floats]:
    truth = (labels[:, None] == np.arange(scores.shape[1])).astype(np.int64)
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = [ranked(own, score, weights, 0.5) for own, score in zip(truth.T, scores.T, strict=True)]
        areas, precision, pairs = (
            np.stack([each[name] for each in apart], axis=1) for name in (PRIMARY, "auprc", "pairs")
        )
        means = {PRIMARY: areas.mean(axis=1), "auprc": precision.mean(axis=1)}
        return {**means, **_decided(truth, scores, weights), **_calibrated(labels, scores, weights),
                "areas": areas, "pairs": pairs}  # fmt: skip


def _decided(truth: Labels, scores: Floats, weights: Floats) -> dict[str, Floats]:
    guess = (scores.argmax(axis=1)[:, None] == np.arange(scores.shape[1])).astype(np.int64)
    hit, own, said = weights @ (truth * guess), weights @ truth, weights @ guess  # (resamples, classes)
    f1 = np.where(own > 0, 2 * hit / (own + said), np.nan)
    return {
        "accuracy": hit.sum(axis=1) / weights.sum(axis=1),
        "balanced_accuracy": (hit / own).mean(axis=1),
        "f1": f1.mean(axis=1),
    }


def _calibrated(labels: Labels, scores: Floats, weights: Floats) -> dict[str, Floats]:
    total, of_truth = weights.sum(axis=1), scores[np.arange(len(labels)), labels]
    squares = (scores**2).sum(axis=1) - 2 * of_truth + 1
    return {
        "brier": weights @ squares / 2 / total,
        "log_loss": weights @ -np.log(of_truth.clip(LEAST)) / total,
        "ece": np.abs(weights @ _gaps(labels, scores)).sum(axis=1) / total,
    }


def _gaps(labels: Labels, scores: Floats) -> Floats:
    """Give each record's hit less the probability of what was predicted, in its bin's column (n, bins)."""
    sure, hit = scores.max(axis=1), scores.argmax(axis=1) == labels
    gaps: Floats = (bin_of(sure)[:, None] == np.arange(BINS)) * (hit - sure)[:, None]
    return gaps
