"""The patient bootstrap: how much each record counts in each resample.

Of a stratum's m patients m - 1 are drawn, and each counts m / (m - 1) times (Rao & Wu 1988): drawing m would
take the variance for (m - 1) / m of what it is, which matters where many hospitals have few outcomes each.
Strata of fewer than five patients are drawn together with those of the same outcome elsewhere.
"""

import numpy as np
from numpy.typing import NDArray

from coordinator.draws import key

Weights = NDArray[np.float32]
SMALLEST = 5  # patients of a stratum
BLOCK = 1 << 22  # numbers drawn at once, so that a large test set does not fill the memory


def resample_patients(
    site: NDArray[np.int64],
    patient: NDArray[np.int64],
    label: NDArray[np.int64],
    *,
    resamples: int,
    keyed: tuple[int | str, ...],
    classes: int = 2,
) -> Weights:
    """Resample patients with replacement inside each (site, outcome); their records stay together.

    A stratum of one patient, where no other of its outcome is small, cannot vary.

    Args:
        site: (n,) number of each record's site.
        patient: (n,) number of each record's patient, counted per site.
        label: (n,) 0 or 1, or a class's number; a patient's outcome is the highest of any record.
        resamples: how many.
        keyed: what the draws are keyed by.
        classes: how many outcomes there are.

    Returns:
        (resamples, n) how much each record counts, on average 1.
    """
    patients, of_record = np.unique(np.stack([site, patient]), axis=1, return_inverse=True)
    of_record = of_record.reshape(-1)
    outcome = np.zeros(patients.shape[1], np.int64)
    np.maximum.at(outcome, of_record, label)
    generator = np.random.default_rng(key("bootstrap", *keyed))
    counts = np.empty((resamples, len(outcome)), np.float32)
    stratum = _strata(patients[0], outcome, classes)
    for number in np.unique(stratum):
        members = np.flatnonzero(stratum == number)
        counts[:, members] = _multinomial(generator, len(members), resamples)
    return counts[:, of_record]


def _strata(site: NDArray[np.int64], outcome: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """Number each patient's stratum; the small ones of an outcome are one."""
    number = classes * (site + 1) + outcome
    sizes = np.bincount(number)
    return np.where(sizes[number] < SMALLEST, outcome, number)


def _multinomial(generator: np.random.Generator, size: int, resamples: int) -> Weights:
    if size == 1:
        return np.ones((resamples, 1), np.float32)
    shares, block = np.full(size, 1 / size), max(1, BLOCK // size)
    drawn = [
        generator.multinomial(size - 1, shares, size=min(block, resamples - start)).astype(np.float32)
        for start in range(0, resamples, block)
    ]
    return np.concatenate(drawn) * np.float32(size / (size - 1))
