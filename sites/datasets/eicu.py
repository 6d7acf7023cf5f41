"""eICU Collaborative Research Database (Pollard 2018): a folder of its CSV tables, demo or full release.

Task: death before hospital discharge, predicted `data.hours` (24 unless the study says otherwise) after
admission to the unit, for stays that last longer. Patients are told apart by `uniquepid`, and all stays of
one go to the same side.
"""

from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from coordinator.config import Data, Site
from sites.datasets import eicu_events, eicu_features
from sites.datasets.eicu_deal import deal, groups
from sites.datasets.eicu_events import Found, Window
from sites.datasets.eicu_features import APS_FLAGS, APS_NUMBERS, CODED, FLAGS, HOURS, LABS, PRED_FLAGS, VITALS
from sites.datasets.eicu_tables import STAY, blocks, check_tables, number, one_per_stay
from sites.reading import Reading, Rejected
from sites.tables import choices, reject

__all__ = ["deal", "groups", "read"]
OUTCOMES: Final = {"alive": 0, "expired": 1}
OVER_89: Final = r"^\s*>\s*89\s*$"
COLUMNS: Final = (
    STAY, "uniquepid", "hospitaldischargestatus", "unitdischargeoffset", "hospitaladmitoffset", "age",
    "admissionheight", "admissionweight", *eicu_features.STAY_WORDS,
)  # fmt: skip


def read(path: Path, data: Data, site: Site) -> Reading:
    """Read one site's folder; each row is one stay in a unit.

    Raises:
        DataError: a table or one of its columns is missing, or a file is damaged.
    """
    check_tables(path)
    hours = HOURS if data.hours is None else data.hours
    frame, rejected = _stays(path, hours)
    with_labs = "lab" in data.tables
    window = Window(path, tuple(frame[STAY]), 60 * hours)
    parts, latest, outside = [frame.reset_index(drop=True)], dict[str, float](), dict[str, int]()
    for found in _found(window, hours=hours, with_labs=with_labs):
        rejected += found.rejected
        outside |= {name: count for name, count in found.outside.items() if count}
        parts.append(found.frame.reset_index(drop=True))
        if found.last is not None:
            latest |= dict.fromkeys(found.frame.columns, found.last / 60 - hours)
    rejected = list(dict.fromkeys(rejected))  # admissionDx is read for flags and for words
    whole = pd.concat(parts, axis=1)
    return Reading(
        whole.drop(columns=STAY),
        eicu_features.features(hours=hours, with_labs=with_labs),
        rejected=rejected,
        age="age",
        sex="gender",
        latest=latest,
        outside=outside,
    )


def _found(window: Window, *, hours: float, with_labs: bool) -> list[Found]:
    found = [eicu_events.admission(window)]
    if hours >= HOURS:
        found.append(_apache(window, "apacheApsVar", "aps", APS_NUMBERS, APS_FLAGS))
        found.append(_apache(window, "apachePredVar", "apache", {}, PRED_FLAGS))
    found += [eicu_events.flags(window, table, *columns) for table, columns in CODED.items()]
    found.append(eicu_events.measured(window, "vitalAperiodic", "observationoffset", VITALS))
    return [*found, eicu_events.laboratory(window, LABS)] if with_labs else found


def _stays(path: Path, hours: float) -> tuple[pd.DataFrame, list[Rejected]]:
    """Read the stays that are predicted, with the columns of `PLACE` and of `patient`'s features."""
    parts = list(blocks(path, "patient", COLUMNS))
    frame = pd.concat(parts, ignore_index=True)
    frame["record_id"], frame["patient_id"] = (frame[name].str.strip() for name in (STAY, "uniquepid"))
    frame["label"], _ = choices(frame["hospitaldischargestatus"].fillna(""), OUTCOMES)
    end, _ = number(frame["unitdischargeoffset"])
    unidentified = frame["record_id"].isna() | frame["patient_id"].isna()
    problems = {
        "no patientunitstayid or uniquepid": unidentified.to_numpy(dtype=bool),
        "hospital outcome unknown": frame["label"].isna().to_numpy(dtype=bool),
        "end of the stay unknown": np.isnan(end),
        "the stay ended before the time of prediction": end <= 60 * hours,
        "patientunitstayid: stands more than once": frame["record_id"].duplicated(keep=False).to_numpy(),
    }
    problems |= _numbers(frame)
    for name in eicu_features.STAY_WORDS:
        words = frame[name].str.strip()
        frame[name] = words.astype(object).where(words.notna(), None)
    frame["gender"], _ = choices(frame["gender"].fillna(""), eicu_features.SEXES)
    frame[STAY] = frame["record_id"]
    left_out = ["uniquepid", "hospitaldischargestatus", "unitdischargeoffset", "hospitaladmitoffset"]
    return reject(frame.drop(columns=left_out), problems, [])


def _numbers(frame: pd.DataFrame) -> dict[str, np.ndarray]:
    """Turn the columns of numbers into them; returns which rows hold something else, by reason."""
    age = frame["age"].str.replace(OVER_89, "90", regex=True)
    read_as = {
        "age": age,
        "admissionheight": frame["admissionheight"],
        "admissionweight": frame["admissionweight"],
    }
    problems = {}
    for name, cells in read_as.items():
        frame[name], problems[f"{name}: not a number"] = number(cells)
    minutes, problems["hospitaladmitoffset: not a number"] = number(frame["hospitaladmitoffset"])
    frame["hours_before_unit"] = -minutes / 60
    return problems


def _apache(
    window: Window, table: str, prefix: str, numbers: dict[str, tuple[float, float]], words: tuple[str, ...]
) -> Found:
    """Read APACHE's variables of the first 24 hours (-1 is missing); a stay without a row has none."""
    cells, rejected = one_per_stay(window.folder, table, (*numbers, *words), window.stays)
    frame = pd.DataFrame(index=cells.index)
    for name in numbers:
        frame[f"{prefix}_{name}"], _ = number(cells[name], no_value="-1")
    for name in words:
        frame[f"{prefix}_{name}"], _ = choices(cells[name].fillna(""), FLAGS)
    return Found(frame, 60 * HOURS, rejected)
