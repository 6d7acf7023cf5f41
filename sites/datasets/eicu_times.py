"""When eICU's stays were, on a calendar of our own, for the release has only minutes from each admission.

Stays in a unit within one stay at a hospital keep their true distance. A patient's stays at hospitals follow
each other in the order of their year and number: the first at the start of its year, each later one thirty
days or more after the one before. So a distance means something within one stay at a hospital only.
"""

from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from coordinator.errors import DataError
from sites.datasets.eicu import OVER_89
from sites.datasets.eicu_deal import HOSPITAL, read_places, region_of
from sites.datasets.eicu_features import STAY_WORDS
from sites.datasets.eicu_tables import STAY, blocks, number

GAP: Final = pd.Timedelta(days=30)
WORDS: Final = (*STAY_WORDS, "hospitaldischargestatus")
NUMBERS: Final = (
    "hospitaladmitoffset", "hospitaldischargeoffset", "unitdischargeoffset", "hospitaldischargeyear",
    "admissionheight", "admissionweight",
)  # fmt: skip
ORDER: Final = ["subject_id", "hospitaldischargeyear", "patienthealthsystemstayid"]


def timeline(folder: Path, by: str) -> pd.DataFrame:
    """Place every stay of a known patient: indexed by stay, with `subject_id`, `site` and `start`.

    `start` is the admission to the unit; `WORDS` are there as text, `NUMBERS` and `age` as numbers. A patient
    is one subject within a site (a region, or a hospital, as `by` says); numbers follow the identifiers.

    Raises:
        DataError: a table is damaged or lacks a column, or a stay stands twice.
    """
    read = (STAY, "uniquepid", "patienthealthsystemstayid", HOSPITAL, "age", *WORDS, *NUMBERS)
    stays = pd.concat(list(blocks(folder, "patient", read)), ignore_index=True)
    stays = stays[stays["uniquepid"].notna() & stays[STAY].notna()]
    if stays[STAY].duplicated().any():
        raise DataError(f"{folder}: a stay stands twice in patient; export the table again")
    places = read_places(folder)
    hospitals = stays[HOSPITAL].fillna("").str.strip()
    stays["site"] = hospitals if by == "hospital" else [region_of(places, each) for each in hospitals]
    stays["subject_id"] = stays.groupby(["site", "uniquepid"]).ngroup().astype(np.int64) + 1
    stays["age"], _ = number(stays["age"].str.replace(OVER_89, "90", regex=True))
    for name in NUMBERS:
        stays[name], _ = number(stays[name])
    stays["start"] = _starts(stays)
    return stays.set_index(STAY)


def minutes(offsets: pd.Series) -> pd.Series:
    """Turn minutes to durations, to the microsecond that MEDS keeps."""
    return pd.to_timedelta(offsets, unit="min").astype("timedelta64[us]")


def _starts(stays: pd.DataFrame) -> pd.Series:
    """Say when each stay in a unit began."""
    before = minutes(-stays["hospitaladmitoffset"].fillna(0.0))
    after = minutes(stays["hospitaldischargeoffset"].fillna(0.0))
    visits = stays.assign(lasts=before + after).groupby(ORDER, dropna=False)["lasts"].max()
    admitted: dict[tuple[object, ...], pd.Timestamp] = {}
    patient, free = None, pd.Timestamp(0)
    for key, lasts in visits.items():
        year = 2000 if pd.isna(key[1]) else int(key[1])
        first = pd.Timestamp(year=year, month=1, day=1)
        admitted[key] = first if key[0] != patient else max(first, free)
        patient, free = key[0], admitted[key] + max(lasts, pd.Timedelta(0)) + GAP
    keys = stays[ORDER].itertuples(index=False, name=None)
    start = pd.Series([admitted[key] for key in keys], index=stays.index).astype("datetime64[us]")
    return start + before
