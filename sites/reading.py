"""What a loader hands to preparation: typed rows, and what it could not use."""

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from coordinator.config import Record

PLACE = ("file", "row", "record_id", "patient_id", "label")


class Feature(Record):
    """One input column: numbers, or one of a few words."""

    name: str
    kind: Literal["numeric", "categorical"]


class Rejected(NamedTuple):
    """A row (0: the whole file) that cannot be used, and why; it never holds a patient's value or name."""

    file: str
    row: int
    reason: str


@dataclass(frozen=True)
class Reading:
    """A site's raw files, parsed.

    `frame` has the columns `PLACE` (label 0 or 1), the features (float64, NaN missing; or words, None
    missing) and whatever `age` (years) and `sex` (female, male) name. `images` is float32
    (n, 1, pixels, pixels), one per row of the frame, values in [0, 1].
    """

    frame: pd.DataFrame
    features: tuple[Feature, ...] = ()
    images: npt.NDArray[np.float32] | None = None
    rejected: list[Rejected] = field(default_factory=list)
    age: str | None = None
    sex: str | None = None
