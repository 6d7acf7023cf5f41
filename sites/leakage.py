"""Scores what an attack made of what it saw against the truth, beside a trivial guess.

The truth is patients' records and labels, hence here and not beside the attacks.
"""

from math import sqrt
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score

from coordinator.draws import key

TOLERANCE: Final = 0.25  # standard deviations within which a number counts as recovered
RECOVERED: Final = 0.319  # the same as TabLeak has it (Vero 2023), for its share of features
FALSE_POSITIVES: Final = 0.01
RESAMPLES: Final = 500
Z95: Final = 1.959963984540054
Floats = NDArray[np.floating]
Flags = NDArray[np.bool_]


class Measure(NamedTuple):
    """A measure's value, that of the trivial guess, a 95 % interval (None: none), and what it is over."""

    measure: str
    value: float
    baseline: float
    low: float | None
    high: float | None
    n: int


def numbers(truth: Floats, guess: Floats, trivial: Floats, known: Flags, *, seed: int) -> list[Measure]:
    """Score reconstructed numbers in standard deviations: share within tolerance, mean absolute error.

    Args:
        truth: (records, features), normalised.
        guess: (records, features), the attack's.
        trivial: (features,), the guess of who saw nothing: the mean auxiliary record.
        known: (records, features), where the truth is a measured value.
        seed: of the bootstrap over records.
    """
    errors, base = np.abs(guess - truth), np.abs(trivial - truth)
    within = over_records("within_tolerance", errors <= TOLERANCE, base <= TOLERANCE, known, seed)
    return [within, over_records("mae", errors, base, known, seed)]


def cells(
    truth: Floats, guess: Floats, trivial: Floats, known: Flags, words: list[slice], *, seed: int
) -> list[Measure]:
    """Score a reconstructed table as TabLeak does: the share of features recovered, and of whole records.

    A number counts within 0.319 standard deviations, a word where it is the likeliest. A record matches
    where every known feature does.

    Args:
        truth: (records, columns), numbers first.
        guess: (records, columns), the attack's.
        trivial: (columns,), the mean auxiliary record.
        known: (records, numbers), where a number was measured.
        words: each word's columns.
        seed: of the bootstrap over records.
    """
    same, base = (recovered(truth, each, known.shape[1], words) for each in (guess, trivial[None]))
    there = np.concatenate(
        [known, *(truth[:, each].sum(axis=1, keepdims=True) > 0 for each in words)], axis=1
    )
    if not there.any():
        return []
    whole, every = (same | ~there).all(axis=1), (base | ~there).all(axis=1)
    return [
        over_records("features_recovered", same, base, there, seed),
        _share("exact_match", int(whole.sum()), len(whole), float(every.mean())),
    ]


def recovered(truth: Floats, guess: Floats, numbers: int, words: list[slice]) -> Flags:
    """Say which features of which records are right: (records, numbers + words)."""
    right = [np.abs(truth[:, :numbers] - guess[:, :numbers]) <= RECOVERED]
    for each in words:
        told = guess[:, each].argmax(axis=1) == truth[:, each].argmax(axis=1)
        right.append(told[:, None])
    return np.concatenate(right, axis=1)


def told_apart(name: str, truth: Flags, scores: Floats) -> list[Measure]:
    """Score by AUROC how well two kinds of records are told apart; nothing where there is one kind only."""
    if truth.all() or not truth.any():
        return []
    return [_area(name, float(roc_auc_score(truth, scores)), truth.astype(np.int64))]


def images(truth: Floats, guess: Floats, trivial: Floats, *, seed: int) -> list[Measure]:
    """Score reconstructed images, (records, channels, height, width) of 0 to 1: PSNR in dB and SSIM.

    Args: `trivial` is the mean auxiliary image, `seed` that of the bootstrap over records.
    """
    found = []
    for name, similarity in (("psnr", psnr), ("ssim", ssim)):
        own = np.array([similarity(a, b) for a, b in zip(truth, np.clip(guess, 0, 1), strict=True)])
        base = np.array([similarity(a, trivial) for a in truth])
        every = np.ones((len(own), 1), dtype=bool)
        found.append(over_records(name, own[:, None], base[:, None], every, seed))
    return found


def psnr(truth: Floats, guess: Floats) -> float:
    """Give the peak signal-to-noise ratio, dB, of values from 0 to 1; at most 100."""
    return float(-10 * np.log10(max(float(np.mean((truth - guess) ** 2)), 1e-10)))


def ssim(truth: Floats, guess: Floats) -> float:
    """Give the mean structural similarity of values from 0 to 1 (Wang 2004: Gaussian window, sigma 1.5)."""

    def blurred(values: Floats) -> Floats:
        smooth: Floats = gaussian_filter(values.astype(np.float64), (0, 1.5, 1.5), truncate=3.5)
        return smooth

    a, b = blurred(truth), blurred(guess)
    var_a, var_b = blurred(truth**2) - a**2, blurred(guess**2) - b**2
    covariance = blurred(truth * guess) - a * b
    c1, c2 = 0.01**2, 0.03**2
    similar = (2 * a * b + c1) * (2 * covariance + c2) / ((a**2 + b**2 + c1) * (var_a + var_b + c2))
    return float(similar.mean())


def inferred(labels: NDArray[np.int64], scores: Floats, decided: Flags | None = None) -> list[Measure]:
    """Score inferred labels, with the better of the two assignments of scores to classes.

    Args:
        labels: (records,) of 0 and 1.
        scores: (records,), higher for one class.
        decided: (records,), which class, where the attack decides.

    Returns: nothing where there is one class only.
    """
    if labels.min() == labels.max():
        return []
    area = float(roc_auc_score(labels, scores))
    found = [_area("auroc", max(area, 1 - area), labels)]
    if decided is not None:
        hits = int((decided == (labels == 1)).sum())
        hits, most = max(hits, len(labels) - hits), int(max(labels.sum(), len(labels) - labels.sum()))
        found.append(_share("accuracy", hits, len(labels), most / len(labels)))
    return found


def membership(members: Floats, others: Floats) -> list[Measure]:
    """Score membership: AUROC, and the true positive rate at the smallest false positive rate resolved.

    That is 1 %, or one of the others where they are fewer than a hundred; it is the baseline.

    Args:
        members: (n,), higher for records that were trained on.
        others: (m,), of records that were not.
    """
    if not (len(members) and len(others)):
        return []
    labels = np.repeat(np.array([1, 0]), [len(members), len(others)])
    area = float(roc_auc_score(labels, np.concatenate([members, others])))
    allowed = max(1, int(FALSE_POSITIVES * len(others)))
    threshold = np.sort(others)[::-1][allowed] if allowed < len(others) else -np.inf
    rate = allowed / len(others)
    caught = int((members > threshold).sum())
    return [_area("auroc", area, labels), _share(f"tpr_at_fpr_{rate:.2g}", caught, len(members), rate)]


def over_records(name: str, own: Floats | Flags, base: Floats | Flags, known: Flags, seed: int) -> Measure:
    """Average over all known cells; the interval is a bootstrap over records, whose cells stay together."""
    counts = known.sum(axis=1)
    sums = np.where(known, own, 0).sum(axis=1, dtype=np.float64)
    draws = np.random.default_rng(key(seed, "leakage", name))
    chosen = draws.integers(len(counts), size=(RESAMPLES, len(counts)))
    means = sums[chosen].sum(axis=1) / np.maximum(counts[chosen].sum(axis=1), 1)
    low, high = np.quantile(means, [0.025, 0.975])
    total = int(counts.sum())
    trivial = float(np.where(known, base, 0).sum(dtype=np.float64) / total)
    return Measure(name, float(sums.sum() / total), trivial, float(low), float(high), len(counts))


def _area(name: str, area: float, labels: NDArray[np.int64]) -> Measure:
    """Give an AUROC's interval after Hanley & McNeil 1982."""
    ones = int(labels.sum())
    zeros = len(labels) - ones
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    variance = area * (1 - area) + (ones - 1) * (q1 - area**2) + (zeros - 1) * (q2 - area**2)
    half = Z95 * sqrt(max(variance, 0) / (ones * zeros))
    return Measure(name, area, 0.5, max(0.0, area - half), min(1.0, area + half), len(labels))


def _share(name: str, hits: int, n: int, baseline: float) -> Measure:
    found = binomtest(hits, n).proportion_ci(method="wilson")
    return Measure(name, hits / n, baseline, float(found.low), float(found.high), n)
