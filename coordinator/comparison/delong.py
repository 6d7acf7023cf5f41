"""The variance of AUROCs: DeLong et al. (1988), and Obuchowski (1997) where a patient has several records.

Every record has a placement: the share of the other class's records that it is ranked rightly against, ties
counting half. An AUROC is their mean over either class, and its variance is that of these means; a patient's
placements are added first, so that records of one patient are not taken for independent.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, rankdata

from coordinator.metrics import Labels, Scores

Floats = NDArray[np.float64]


def placements(label: Labels, score: Scores) -> Floats:
    """Give each record's placement (n,); both classes must be there (Sun & Xu 2014: by midranks)."""
    found = np.empty(len(label))
    ranks, positive = rankdata(score), label == 1
    for members, others in ((positive, ~positive), (~positive, positive)):
        below = (ranks[members] - rankdata(score[members])) / others.sum()
        found[members] = below if members is positive else 1 - below
    return found


def variance(label: Labels, patient: NDArray[np.int64], placed: Floats) -> float:
    """Give the variance of an AUROC, or of a mean over seeds from the mean placements.

    Args:
        label: (n,) 0 or 1.
        patient: (n,) number of each record's patient.
        placed: (n,) placements, or their mean over seeds.

    Returns:
        Obuchowski's equation 5; NaN where a class has fewer than two patients.
    """
    return float(covariance(label, patient, placed[None])[0, 0])


def covariance(label: Labels, patient: NDArray[np.int64], placed: Floats) -> Floats:
    """Give the covariances of AUROCs on the same records, as `variance`: placed (k, n) gives (k, k)."""
    _, group = np.unique(patient, return_inverse=True)
    positive = label == 1
    areas, sums, counts = placed[:, positive].mean(axis=1), [], []
    for members in (positive, ~positive):
        own = np.bincount(group, weights=members)
        totals = np.stack([np.bincount(group, weights=members * each) for each in placed])
        sums.append((totals - areas[:, None] * own) / members.sum())
        counts.append(int((own > 0).sum()))
    (up, down), (ups, downs) = sums, counts
    if min(ups, downs) < 2:
        return np.full((len(placed), len(placed)), np.nan)
    patients = up.shape[1]
    across = patients / (patients - 1) * (up @ down.T)
    return np.asarray(
        ups / (ups - 1) * (up @ up.T) + downs / (downs - 1) * (down @ down.T) + across + across.T
    )


def interval(area: float, variance: float, level: float = 0.95) -> tuple[float | None, float | None]:
    """Give an AUROC's interval on the log odds scale (Pepe 2003), which stays between 0 and 1.

    A perfect ranking has no interval: it shows no error from which one could be estimated.
    """
    if not 0 < area < 1 or not variance > 0:
        return None, None
    half = norm.ppf(0.5 + level / 2) * np.sqrt(variance) / (area * (1 - area))
    ends = np.log(area / (1 - area)) + np.array([-half, half])
    low, high = 1 / (1 + np.exp(-ends))
    return float(low), float(high)
