"""Numbers as integers modulo 2^64, so that a sum is exact and a mask hides it wholly."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from coordinator.errors import DataError

FRACTION_BITS: Final = 32
SCALE: Final = 2.0**FRACTION_BITS
Words = NDArray[np.uint64]
Floats = NDArray[np.float64]


def most(sites: int) -> float:
    """Give the largest magnitude that each of so many sites may add without the sum going around."""
    return 2.0 ** (62 - FRACTION_BITS) / sites


def encode(values: Floats, sites: int) -> Words:
    """Round to multiples of 2^-32, as words.

    Raises:
        DataError: a number is none, or so large that a sum over the sites could go around.
    """
    if not np.isfinite(values).all() or np.abs(values).max(initial=0.0) > most(sites):
        raise DataError(
            f"a weight times its site's records is no number, or above {most(sites):.3g}: it cannot be added "
            "up securely; training diverged, or the site is too large for site_weights: records"
        )
    return np.rint(values * SCALE).astype(np.int64).view(np.uint64)


def decode(words: Words) -> Floats:
    """Give the numbers that words stand for."""
    return words.view(np.int64).astype(np.float64) / SCALE


def laid_flat(tensors: Sequence[NDArray[Any]]) -> Floats:
    """Lay tensors in a row, in float64."""
    return np.concatenate([each.astype(np.float64).ravel() for each in tensors] or [np.zeros(0)])


def lifted(flat: Floats, shapes: Sequence[tuple[int, ...]]) -> list[Floats]:
    """Cut a row into tensors again."""
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1]
    return [each.reshape(shape) for each, shape in zip(np.split(flat, ends), shapes, strict=True)]
