"""The patient bootstrap: how often each record counts in each resample."""

import numpy as np
from numpy.typing import NDArray

from coordinator.draws import key

Weights = NDArray[np.uint16]
BLOCK = 1 << 22  # numbers drawn at once, so that a large test set does not fill the memory


def resample_patients(
    site: NDArray[np.int64],
    patient: NDArray[np.int64],
    label: NDArray[np.int64],
    *,
    resamples: int,
    keyed: tuple[int | str, ...],
) -> Weights:
    """Resample patients with replacement inside each (site, outcome); their records stay together.

    Args:
        site: (n,) number of each record's site.
        patient: (n,) number of each record's patient, counted per site.
        label: (n,) 0 or 1; a patient's outcome is 1 where any record's is.
        resamples: how many.
        keyed: what the draws are keyed by.

    Returns:
        (resamples, n) how often each record was drawn.
    """
    patients, of_record = np.unique(np.stack([site, patient]), axis=1, return_inverse=True)
    of_record = of_record.reshape(-1)
    outcome = np.zeros(patients.shape[1], np.int64)
    np.maximum.at(outcome, of_record, label)
    generator = np.random.default_rng(key("bootstrap", *keyed))
    counts = np.empty((resamples, len(outcome)), np.uint16)
    for stratum in np.unique(np.stack([patients[0], outcome]), axis=1).T:
        members = np.flatnonzero((patients[0] == stratum[0]) & (outcome == stratum[1]))
        counts[:, members] = _multinomial(generator, len(members), resamples)
    return counts[:, of_record]


def _multinomial(generator: np.random.Generator, size: int, resamples: int) -> Weights:
    shares, block = np.full(size, 1 / size), max(1, BLOCK // size)
    drawn = [
        generator.multinomial(size, shares, size=min(block, resamples - start)).astype(np.uint16)
        for start in range(0, resamples, block)
    ]
    return np.concatenate(drawn)
