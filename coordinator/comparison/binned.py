"""A pooled AUROC without scores: from how many each site has in groups of bins, with how far off it may be.

A group is of neighbouring bins, of one outcome, and of at least the smallest cell's patients, so its ends
lie where the site's scores do. Two records of one site are ranked by the site itself, whose AUROC is exact;
of two sites' records those are ranked whose groups do not overlap, and the others count half. So the value is
off by half the share of these pairs, at most.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from coordinator.metrics import Scores

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
SCORE_BINS: Final = 100


def grouped(score: Scores, patient: Integers, min_cell: int) -> Integers:
    """Count scores (n,) in groups of neighbouring bins with at least ``min_cell`` patients each.

    Returns:
        (groups, 3): first bin, the bin after the last, records; none of fewer patients in all.
    """
    bins = np.minimum((score * SCORE_BINS).astype(np.int64), SCORE_BINS - 1)
    groups: list[list[int]] = []
    held: list[int] = []  # the bins since the last group
    for each in np.unique(bins).tolist():
        held.append(each)
        if len(np.unique(patient[np.isin(bins, held)])) >= min_cell:
            groups.append([held[0], each + 1, int(np.isin(bins, held).sum())])
            held = []
    if held and groups:  # too few to stand alone: the last group takes them in
        groups[-1][1:] = [held[-1] + 1, groups[-1][2] + int(np.isin(bins, held).sum())]
    return np.array(groups, np.int64).reshape(-1, 3)


def ranked(positive: Integers, negative: Integers) -> tuple[float, float]:
    """Count pairs of groups' records in which the positive one is above; and half of those not told apart."""
    pairs = positive[:, 2, None] * negative[None, :, 2].astype(float)
    above = positive[:, 0, None] >= negative[None, :, 1]
    below = positive[:, 1, None] <= negative[None, :, 0]
    half = float(pairs[~above & ~below].sum() / 2)
    return float(pairs[above].sum()) + half, half


def pooled(areas: Floats, positives: list[Integers], negatives: list[Integers]) -> tuple[float, float]:
    """Give the AUROC of all sites' records together, and how far off it may be.

    Args:
        areas: (sites,) each site's own; NaN where it has one outcome only.
        positives: each site's groups of records with the outcome.
        negatives: each site's of those without.
    """
    right = unknown = pairs = 0.0
    for i, positive in enumerate(positives):
        for j, negative in enumerate(negatives):
            both = float(positive[:, 2].sum() * negative[:, 2].sum())
            won, half = (areas[i] * both if both else 0.0, 0.0) if i == j else ranked(positive, negative)
            right, unknown, pairs = right + won, unknown + half, pairs + both
    return (right / pairs, unknown / pairs) if pairs else (np.nan, np.nan)
