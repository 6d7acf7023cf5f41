"""PhysioNet/CinC Challenge 2012: the first 48 hours of 8,000 ICU stays (Silva 2012), predicting death.

`set-a` and `set-b` are archives of one text file per stay, `Time,Parameter,Value`, with `Outcomes-a.txt`
and `Outcomes-b.txt`; set b is the source's own test set. Descriptors (age, gender, height, ICU type) stand
at 00:00, -1 is missing. The weight of the table is the first one recorded, those after it are a series.
Parameters of a known range are limited to what is possible (`clinical_limits`), before anything is averaged.

The files name stays and no patients: each stay is taken for one patient. The four types of ICU are the
sites; the outcome is death in the hospital.
"""

from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from coordinator.config import Data, Site
from coordinator.errors import ConfigError
from coordinator.specs import Deal
from sites.datasets.clinical_limits import LIMITS
from sites.datasets.physionet2012_files import ICU_TYPES, deal_archives, outcomes_of, sets_in, stays_in
from sites.datasets.physionet2012_text import Parsed, parsed
from sites.grids import Events, grid, latest, plausible, window
from sites.reading import SOURCE_TEST, Feature, Reading, Rejected, Series
from sites.tables import reject

LAST_HOUR: Final = 48.0
TEST_SET: Final = "b"
MISSING: Final = -1
FRACTION: Final = (0.2, 1.0)  # of oxygen in what is breathed
# the challenge's name, and the quantity it is, or its own limits
PARAMETERS: Final[dict[str, str | tuple[float, float]]] = {
    "Albumin": "alb", "ALP": "alp", "ALT": "alt", "AST": "ast", "Bilirubin": "bili", "BUN": "bun",
    "Cholesterol": "cholesterol", "Creatinine": "crea", "DiasABP": "dbp", "FiO2": FRACTION, "GCS": "gcs",
    "Glucose": "glu", "HCO3": "bicar", "HCT": "hct", "HR": "hr", "K": "k", "Lactate": "lact", "MAP": "map",
    "MechVent": (0, 1), "Mg": "mg", "Na": "na", "NIDiasABP": "dbp", "NIMAP": "map", "NISysABP": "sbp",
    "PaCO2": "pco2", "PaO2": "po2", "pH": "ph", "Platelets": "plt", "RespRate": "resp", "SaO2": "o2sat",
    "SysABP": "sbp", "Temp": "temp", "TroponinI": "tni", "TroponinT": "tnt", "Urine": "urine", "WBC": "wbc",
    "Weight": "weight",
}  # fmt: skip
DESCRIPTORS: Final = ("RecordID", "Age", "Gender", "Height", "ICUType")
SEXES: Final = {0.0: "female", 1.0: "male"}
FEATURES: Final = (
    *(
        Feature(name=name, kind="numeric", low=LIMITS[name][0], high=LIMITS[name][1])
        for name in ("age", "height", "weight")
    ),
    Feature(name="sex", kind="categorical"),
    Feature(name="icu_type", kind="categorical"),
)


def _variable(name: str, limits: str | tuple[float, float]) -> Feature:
    low, high = LIMITS[limits] if isinstance(limits, str) else limits
    own = "weight_charted" if name == "Weight" else name.lower()  # `weight` is the table's
    return Feature(name=own, kind="numeric", low=low, high=high)


SERIES: Final = tuple(_variable(name, limits) for name, limits in PARAMETERS.items())


def deal(spec: Deal, out: Path) -> None:
    """Write each site's stays to `out`/SITE as archives and outcomes of the same form.

    A site selects ICU types: coronary, cardiac_surgery, medical, surgical.

    Raises:
        DataError: an archive or its outcomes are missing or damaged.
    """
    deal_archives(spec, out)


def read(path: Path, data: Data, site: Site) -> Reading:
    """Parse one site's stays of either set; each is a record, at a grid of `step_hours` up to `hours`.

    Raises:
        DataError: an archive or its outcomes are missing or damaged.
        ConfigError: a prediction after the last hour there is.
    """
    hours = data.hours or LAST_HOUR
    if hours > LAST_HOUR:
        raise ConfigError(f"{hours} hours; the challenge records {LAST_HOUR:.0f}", key="data.hours")
    sets = sets_in(path)
    found = parsed((stay for name in sets for stay in stays_in(path, name)), (*DESCRIPTORS, *PARAMETERS))
    outcomes = pd.concat([outcomes_of(path, name).assign(set=name) for name in sets], ignore_index=True)
    known = window(found.events.where(found.events.values != MISSING), hours)
    events, outside = plausible(_measured(known), SERIES)
    frame, rejected = _stays(found, outcomes, known, events)
    reading = Reading(
        frame.drop(columns=["place", "set"]),
        FEATURES,
        rejected=rejected,
        age="age",
        sex="sex",
        outside=outside,
    )
    if data.modalities and "series" not in data.modalities:
        return reading
    values = grid(events, len(found.files), len(SERIES), hours=hours, step_hours=data.step_hours)
    series = Series(values[frame["place"].to_numpy(dtype=np.int64)], SERIES, data.step_hours)
    return replace(reading, series=series, latest=latest(events, SERIES, hours))


def _measured(events: Events) -> Events:
    """Choose the events of the series: all but the descriptors."""
    chosen = events.where(events.variable >= len(DESCRIPTORS))
    return chosen._replace(variable=chosen.variable - len(DESCRIPTORS))


def _stays(
    found: Parsed, outcomes: pd.DataFrame, known: Events, events: Events
) -> tuple[pd.DataFrame, list[Rejected]]:
    """Give a row per usable stay, with its `place` among the files, and everything that is not usable."""
    said = {name: _first(known, index, len(found.files)) for index, name in enumerate(DESCRIPTORS)}
    names = pd.Series([file.removesuffix(".txt") for file in found.files], dtype=object)
    frame = pd.DataFrame({"file": found.files, "row": 0, "record_id": names, "patient_id": names})
    frame["set"], frame["place"] = found.sets, np.arange(len(frame))
    frame["label"] = _deaths(frame, outcomes)
    frame["age"], frame["height"] = said["Age"], said["Height"]
    frame["weight"] = _first(events, list(PARAMETERS).index("Weight"), len(frame))
    frame["sex"], wrong_sex = _words(said["Gender"], SEXES)
    frame["icu_type"], _ = _words(said["ICUType"], {float(code): word for code, word in ICU_TYPES.items()})
    frame[SOURCE_TEST] = frame["set"] == TEST_SET
    problems = {
        "RecordID: not the one in the file's name": said["RecordID"] != pd.to_numeric(names, errors="coerce"),
        "a parameter that the challenge does not have": found.unknown,
        "ICUType: missing, or not 1 to 4": frame["icu_type"].isna().to_numpy(dtype=bool),
        "Gender: not 0, 1 or -1": wrong_sex,
        "no outcome, or not one": frame["label"].isna().to_numpy(dtype=bool),
    }
    frame, rejected = reject(frame, problems, [*found.rejected, *_without_file(found, outcomes)])
    return frame, rejected


def _deaths(frame: pd.DataFrame, outcomes: pd.DataFrame) -> pd.Series:
    told = outcomes.drop_duplicates(["set", "stay_id"]).set_index(["set", "stay_id"])["died"]
    keys = pd.MultiIndex.from_frame(frame[["set", "record_id"]])
    return pd.Series(told.reindex(keys).to_numpy(), dtype=object)


def _without_file(found: Parsed, outcomes: pd.DataFrame) -> list[Rejected]:
    files = {*found.files, *(each.file for each in found.rejected)}
    lost = outcomes[~(outcomes["stay_id"] + ".txt").isin(files)]
    return [
        Rejected(file, int(row), "no file of this stay in the archive")
        for file, row in zip(lost["file"], lost["row"], strict=True)
    ]


def _first(events: Events, variable: int, records: int) -> npt.NDArray[np.float64]:
    """Give each record's first value of a variable (records,), NaN where there is none."""
    own = events.where(events.variable == variable)
    order = np.argsort(own.hours, kind="stable")[::-1]  # of several assignments to a record the last stays
    values = np.full(records, np.nan)
    values[own.record[order]] = own.values[order]
    return values


def _words(
    codes: npt.NDArray[np.float64], known: dict[float, str]
) -> tuple[npt.NDArray[np.object_], npt.NDArray[np.bool_]]:
    """Look codes up; returns the words (None missing) and which codes are unknown."""
    words = np.array([known.get(code) for code in codes.tolist()], dtype=object)
    return words, np.isfinite(codes) & ~np.isin(codes, list(known))
