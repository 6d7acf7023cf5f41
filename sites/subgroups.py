"""A record's sex and age band, which leave with its test score where a study says so (`subgroups`)."""

from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from sites.prepared import Prepared

SEX, AGE_BAND = "sex", "age_band"
EDGES: Final = (18, 40, 60, 80)  # years at which a band begins
BANDS: Final = np.array(["0-17", "18-39", "40-59", "60-79", "80 and over"], dtype=object)
Words = npt.NDArray[np.object_]


def subgroups_of(ready: Prepared) -> dict[str, Words]:
    """Name each record's sex and age band (n,), None where unknown; of what is among the table's features."""
    frame, summary = ready.frame, ready.summary
    found = {}
    if summary.sex in frame:
        values = frame[summary.sex].astype(object)
        found[SEX] = values.where(values.notna(), None).to_numpy(dtype=object)
    if summary.age in frame:
        found[AGE_BAND] = bands(frame[summary.age])
    return found


def bands(ages: pd.Series) -> Words:
    """Put ages in years (n,) into bands."""
    years = ages.to_numpy(dtype=np.float64)
    named: Words = BANDS[np.digitize(years, EDGES)]
    named[np.isnan(years)] = None
    return named
