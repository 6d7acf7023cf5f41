"""What a loader hands to preparation: typed rows, and what it could not use."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from coordinator.config import Record

PLACE = ("file", "row", "record_id", "patient_id", "label")
SOURCE_TEST = "source_test"  # an optional column of the frame: true where the source tests on this record
Pixels = npt.NDArray[np.uint8] | npt.NDArray[np.float32]


class Feature(Record):
    """One input: numbers, or one of a few words.

    `low` and `high` are what it can be at all (limits of the clinic or of the study, never a patient's
    extremes): a number outside is taken for missing and counted, and sites count histograms between them.
    """

    name: str
    kind: Literal["numeric", "categorical"]
    low: float | None = None
    high: float | None = None


class Rejected(NamedTuple):
    """A row (0: the whole file) that cannot be used, and why; it never holds a patient's value or name."""

    file: str
    row: int
    reason: str


class Series(NamedTuple):
    """A grid per record: `values` float32 (n, steps, variables), NaN where nothing was measured.

    Step s covers the hours from s * step_hours to (s + 1) * step_hours after admission.
    """

    values: npt.NDArray[np.float32]
    variables: tuple[Feature, ...]
    step_hours: float


class Images(NamedTuple):
    """Images that are decoded one by one, so that no set need fit into memory.

    `shape` is (channels, height, width). `decode(i)` gives the image of the frame's i-th row in this shape,
    uint8 of 0 to 255 or float32 of 0 to 1 as `dtype` says, or None where the record has no image; it raises
    DataError with one short reason, without a value of the header, where the image cannot be used.
    """

    shape: tuple[int, int, int]
    dtype: Literal["uint8", "float32"]
    decode: Callable[[int], Pixels | None]


@dataclass(frozen=True)
class Reading:
    """A site's raw files, parsed.

    `frame` has the columns `PLACE` (label 0 or 1), the features (float64, NaN missing; or words, None
    missing), whatever `age` (years) and `sex` (female, male) name, and perhaps `SOURCE_TEST`. `series` and
    `images` have one entry per row of the frame, in its order. `latest` says per feature, in hours before
    (below 0) or after the time of prediction, when the last value used was recorded, where that is known.
    `outside` counts by variable the values that the loader itself took out for being impossible.
    """

    frame: pd.DataFrame
    features: tuple[Feature, ...] = ()
    series: Series | None = None
    images: Images | None = None
    rejected: list[Rejected] = field(default_factory=list)
    age: str | None = None
    sex: str | None = None
    latest: dict[str, float] = field(default_factory=dict)
    outside: dict[str, int] = field(default_factory=dict)
