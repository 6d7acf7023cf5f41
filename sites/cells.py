"""Small cells: what fewer than a number of patients stand for stays at their site."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from coordinator.aggregates import BINS, Moments, combined

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


def small(counts: Integers, min_cell: int) -> Flags:
    """Mark the counts that are too small to tell; that there is nobody may be told."""
    return (counts > 0) & (counts < min_cell)


def hidden(counts: Mapping[str, int], min_cell: int) -> set[str]:
    """Name the cells of a total that must not be told where the total is known.

    The small ones, and the smallest of the others until all of them together are no small cell: one cell
    left out among known ones could be counted.
    """
    found = {name for name, count in counts.items() if 0 < count < min_cell}
    others = sorted((count, name) for name, count in counts.items() if count >= min_cell)
    while found and others and sum(counts[name] for name in found) < min_cell:
        found.add(others.pop(0)[1])
    return found


def few_differ(patients: Integers, differing: Integers, min_cell: int) -> Flags:
    """Mark variables that are one and the same value for at least half of the patients and all but a few.

    Their mean tells the sum of the few's values: that of a yes or no coded as 1 or 0 counts them.
    """
    return small(differing, min_cell) & (patients - differing >= differing)


def usual(values: Sequence[Floats]) -> Floats:
    """Give a value of each variable that half of its values are not above (f,), NaN of none."""
    middles = [np.partition(each, (len(each) - 1) // 2)[(len(each) - 1) // 2 :][:1] for each in values]
    return np.array([middle[0] if len(middle) else np.nan for middle in middles], dtype=np.float64)


def bin_of(values: Floats, low: float, high: float) -> Integers:
    """Say in which bin of a histogram between limits values lie; the highest lies in the last."""
    place = np.asarray((values - low) * (BINS / (high - low))).astype(np.int64)
    return np.clip(place, 0, BINS - 1)


class Tally(NamedTuple):
    """What is counted of a block of rows: values for the moments, patients for the size of the cells.

    `moments` and `missing` count values; `patients` (f,) those with any, `differing` (f,) those with one
    that is not the usual, `holders` (f, BINS) those with one in a histogram's bin.
    """

    moments: Moments
    missing: Integers
    patients: Integers
    differing: Integers
    histogram: Integers
    holders: Integers

    @classmethod
    def of_none(cls, width: int) -> Self:
        """Count no row of a number of variables."""
        none, bins = np.zeros(width, np.int64), np.zeros((width, BINS), np.int64)
        return cls(Moments(none, np.zeros(width), np.zeros(width)), none, none, none, bins, bins)

    def plus(self, other: "Tally") -> "Tally":
        """Add the rows of other patients."""
        return Tally(
            combined(self.moments, other.moments), *(a + b for a, b in zip(self[1:], other[1:], strict=True))
        )


def tally(patient: Integers, values: Floats, limits: Floats, common: Floats) -> Tally:
    """Count one block.

    Args: `patient` (rows,) with a patient's rows together, `values` (rows, values of a row, f) NaN where
    missing, `limits` (f, 2), `common` (f,) the usual values.
    """
    present = np.isfinite(values)
    starts = np.flatnonzero(np.diff(patient, prepend=-1))
    number = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(patient)))
    differs = present & (values != common)
    bins = [_counted(number, values[:, :, i], *limits[i]) for i in range(len(limits))]
    return Tally(
        moments=_moments(values.reshape(-1, len(limits))),
        missing=(~present).sum(axis=(0, 1)).astype(np.int64),
        patients=_people(present, starts),
        differing=_people(differs, starts),
        histogram=np.array([counts.sum(axis=0) for counts in bins], np.int64).reshape(-1, BINS),
        holders=np.array([(counts > 0).sum(axis=0) for counts in bins], np.int64).reshape(-1, BINS),
    )


def _people(flags: Flags, starts: Integers) -> Integers:
    """Count the patients with any flag (f,)."""
    return np.logical_or.reduceat(flags.any(axis=1), starts, axis=0).sum(axis=0).astype(np.int64)


def _counted(number: Integers, values: Floats, low: float, high: float) -> Integers:
    """Count each patient's values by bin (patients, BINS); values are (rows, values of a row)."""
    people = int(number[-1]) + 1
    if not low < high:  # NaN: nobody said what the variable can be
        return np.zeros((people, BINS), np.int64)
    owner = np.broadcast_to(number[:, None], values.shape)
    inside = (values >= low) & (values <= high)
    cell = owner[inside] * BINS + bin_of(values[inside], low, high)
    return np.bincount(cell, minlength=people * BINS).reshape(people, BINS)


def _moments(values: Floats) -> Moments:
    present = np.isfinite(values)
    n = present.sum(axis=0).astype(np.int64)
    mean = np.where(present, values, 0).sum(axis=0) / np.maximum(n, 1)
    m2 = (np.where(present, values - mean, 0) ** 2).sum(axis=0)
    return Moments(n, mean, m2)
