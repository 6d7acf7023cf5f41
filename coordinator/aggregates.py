"""What a site tells the others of its training rows, and whether what it tells is possible."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from coordinator.errors import ProtocolError

BINS: Final = 100  # of a histogram between a variable's limits
COUNTS: Final = ("train", "train_events", "validation", "test", "auxiliary")
DIMENSIONS: Final = {"table": 0, "series": 2, "image": 3}
LARGEST: Final = 1 << 40  # rows; what is larger is no count, and would overflow where counts are added
Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Aggregates:
    """One site's training rows as aggregates; nothing in it stands for fewer than `min_cell` patients.

    `counts` has the keys `COUNTS`, `train_events` only where neither the records with the outcome nor
    those without are few. `names` are the numeric variables (f): a table's by their names, a series' after
    `series:`, an image's channels after `image:`. `n` int64, `mean` float64, `m2` float64 (the sum of
    squared differences from the mean) and `missing` int64 are (f,); `limits` float64 (f, 2) are what the
    variable can be, NaN where nobody said; `histogram` int64 (f, BINS) counts values between them.
    `levels` maps every categorical feature to the words seen. `suppressed` counts what was left out for
    being small. `shapes` has one record's shape per modality: (), (steps, variables), (channels, height,
    width).
    """

    counts: dict[str, int]
    names: tuple[str, ...]
    n: Integers
    mean: Floats
    m2: Floats
    missing: Integers
    limits: Floats
    histogram: Integers
    levels: dict[str, tuple[str, ...]] = field(default_factory=dict)
    suppressed: int = 0
    shapes: dict[str, tuple[int, ...]] = field(default_factory=lambda: {"table": ()})


class Moments(NamedTuple):
    """Count, mean, and sum of squared differences from it, each (f,)."""

    n: Integers
    mean: Floats
    m2: Floats


def combined(a: Moments, b: Moments) -> Moments:
    """Merge the moments of two disjoint sets of rows (Chan, Golub, LeVeque 1979, eq. 2.1)."""
    n = a.n + b.n
    share = np.divide(b.n, n, out=np.zeros(len(n)), where=n > 0)
    delta = b.mean - a.mean
    return Moments(n, a.mean + delta * share, a.m2 + b.m2 + delta**2 * a.n * share)


def check(parts: Mapping[str, Aggregates]) -> None:
    """Refuse what no rows can give, and sites that describe different variables.

    Raises:
        ProtocolError: naming the site.
    """
    for site, part in parts.items():
        if problem := _impossible(part):
            raise ProtocolError(
                f"site '{site}' sent impossible aggregates: {problem}; prepare its data again"
            )
    reference, first = next(iter(parts.items()))
    for site, part in parts.items():
        expected, found = ((p.names, tuple(p.levels), p.shapes, p.limits.tolist()) for p in (first, part))
        if repr(found) != repr(expected):  # NaN limits are equal too
            raise ProtocolError(
                f"site '{site}' sent aggregates of {found}, expected {expected} as '{reference}' sent; "
                "prepare the sites' data with one version"
            )


def _impossible(part: Aggregates) -> str | None:
    checks = (_wrong_arrays, _wrong_shapes, _wrong_counts, _wrong_values)  # each relies on those before
    return next((problem for each in checks if (problem := each(part))), None)


def _wrong_arrays(part: Aggregates) -> str | None:
    width = len(part.names)
    expected = {
        "n": ((width,), "int64"), "mean": ((width,), "float64"), "m2": ((width,), "float64"),
        "missing": ((width,), "int64"), "limits": ((width, 2), "float64"),
        "histogram": ((width, BINS), "int64"),
    }  # fmt: skip
    found = {name: (getattr(part, name).shape, str(getattr(part, name).dtype)) for name in expected}
    return None if found == expected else f"arrays of {found} for {width} features"


def _wrong_shapes(part: Aggregates) -> str | None:
    shapes, groups = part.shapes, [name.partition(":")[0] for name in part.names]
    if not shapes or any(len(shape) != DIMENSIONS.get(name) for name, shape in shapes.items()):
        return f"shapes {shapes}"
    if not all(1 <= side <= LARGEST for shape in shapes.values() for side in shape):
        return f"shapes {shapes}"
    widths = {"series": shapes.get("series", (0, 0))[1], "image": shapes.get("image", (0,))[0]}
    if any(groups.count(name) != width for name, width in widths.items()):
        return f"features {part.names} in shapes {shapes}"
    return None


def _wrong_counts(part: Aggregates) -> str | None:
    counts = part.counts
    if set(COUNTS) - {"train_events"} - set(counts) or set(counts) - set(COUNTS):
        return f"counts {counts}"
    if min(*counts.values(), part.suppressed) < 0 or max(counts.values()) > LARGEST:
        return f"a negative count or an endless one: {counts}"
    return f"counts {counts}" if counts.get("train_events", 0) > counts["train"] else None


def _wrong_values(part: Aggregates) -> str | None:
    if not (np.isfinite(part.mean).all() and np.isfinite(part.m2).all() and not np.isinf(part.limits).any()):
        return "a mean, variance or limit that is not finite"
    if any((array < 0).any() for array in (part.n, part.m2, part.missing, part.histogram)):
        return "a negative count or variance"
    for i, name in enumerate(part.names):
        n, missing, counted = int(part.n[i]), int(part.missing[i]), sum(part.histogram[i].tolist())
        if n + missing > _most(part, name):  # in Python's numbers, which do not overflow
            return f"{name}: more values than training rows have"
        if counted > n:
            return f"{name}: a histogram of more values than there are"
    return None


def _most(part: Aggregates, name: str) -> int:
    """Say how many values a variable can have in the training rows."""
    steps, area = part.shapes.get("series", (0,))[0], math.prod(part.shapes.get("image", (0,))[1:])
    return part.counts["train"] * {"series": steps, "image": area}.get(name.partition(":")[0], 1)
