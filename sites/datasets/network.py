"""A synthetic network of hospitals: records and chest radiographs of the same patients, some with pneumonia.

The patients are invented, the files are like real ones: each hospital exports tables in its own codes, words
and units and DICOM images of its own scanner; names stand in both as they do in hospitals. Hospitals
differ in how many have the outcome, how old patients are and what is left unmeasured. Prediction is made at
24 h (`data.hours`); what a file holds from later on, the discharge diagnosis among it, is no input.
"""

from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from coordinator.config import Data, Modality, Partition, Site
from coordinator.draws import key
from coordinator.errors import DataError
from coordinator.specs import Deal
from sites.datasets.network_codes import CONDITIONS, LABS, VITALS, practice_of
from sites.datasets.network_events import conditions, grid, last_values, lateness, measurements
from sites.datasets.network_files import DIAGNOSES, PATIENT_COLUMNS, PATIENTS, write_site
from sites.datasets.network_images import with_images
from sites.datasets.network_patients import stays
from sites.partition import partition
from sites.reading import PLACE, Feature, Reading, Rejected
from sites.tables import choices, numbers, read_cells, reject

ALL: Final[tuple[Modality, ...]] = ("table", "series", "image")
PREVALENCE: Final = 0.42
REPEATS: Final = 8  # one stay in so many is a patient's second
NATURAL: Final = Partition(label_skew=6.0, quantity_skew=8.0)  # where the study does not say how to deal
PREDICTED_AT: Final = 24.0  # hours
WORDS: Final = ("sex", *CONDITIONS)
FEATURES: Final = (
    Feature(name="age", kind="numeric", low=0, high=120),
    *(each.feature for each in LABS),
    *(Feature(name=name, kind="categorical") for name in WORDS),
)


def deal(spec: Deal, out: Path) -> None:
    """Write `out`/SITE/, one hospital's export each, of `data.records` stays at all of them together."""
    data, repeats = spec.data, spec.data.records // REPEATS
    draw = np.random.default_rng(key(spec.seed, "patients", data.source))
    patients = data.records - repeats
    outcomes = draw.permutation((np.arange(patients) < round(PREVALENCE * patients)).astype(np.int64))
    counts = np.ones(patients, dtype=np.int64)
    counts[draw.choice(patients, size=repeats, replace=False)] = 2
    skew = NATURAL if data.partition == Partition() else data.partition
    hands = partition(outcomes, [site.name for site in spec.sites], skew, spec.seed, data.source)
    for place, site in enumerate(spec.sites):
        practice = practice_of(place)
        here = (
            stay
            for patient in hands[site.name].tolist()
            for stay in stays(spec.seed, patient, int(outcomes[patient]), int(counts[patient]), practice)
        )
        write_site(out / site.name, here, practice, site.scanner, data.modalities or ALL)


def read(path: Path, data: Data, site: Site) -> Reading:
    """Parse one hospital's export: a record per stay, with what the task reads of it.

    Raises:
        DataError: the folder or one of its tables cannot be used as a whole.
    """
    if not path.is_dir():
        raise DataError(
            f"{path}: expected a folder with {PATIENTS} and the hospital's tables; check the path"
        )
    frame, exported, rejected = _patients(path)
    wanted, until = data.modalities or ALL, data.hours or PREDICTED_AT
    known = set(exported["stay_id"])
    reading = Reading(frame, rejected=rejected, age="age", sex="sex")
    if "image" in wanted:
        reading = with_images(reading, path, exported, data.pixels, only=wanted == ("image",))
    if "table" in wanted:
        reading = _with_table(reading, path, known, until)
    if "series" in wanted:
        reading = _with_series(reading, path, known, until, data.step_hours, only=wanted == ("series",))
    return reading


def _patients(path: Path) -> tuple[pd.DataFrame, pd.DataFrame, list[Rejected]]:
    """Give the usable stays, and stay_id and image of all that the file names."""
    frame, rejected = read_cells(path / PATIENTS, PATIENT_COLUMNS)
    frame = frame.drop(columns=["name"])
    for column in ("stay_id", "patient_id", "image"):
        frame[column] = frame[column].str.strip()
    exported = frame[["stay_id", "image"]].copy()
    frame["age"], not_a_number = numbers(frame["age"])
    frame["sex"], unknown = choices(frame["sex"], {"f": "female", "m": "male"})
    frame["label"], _ = choices(frame["pneumonia"], {"no": 0, "yes": 1})
    problems = {
        "stay_id or patient_id: missing": ((frame["stay_id"] == "") | (frame["patient_id"] == "")).to_numpy(),
        "age: not a number": not_a_number,
        "sex: neither F nor M": unknown,
        "pneumonia: missing, or neither yes nor no": frame["label"].isna().to_numpy(),
    }
    frame, rejected = reject(frame.drop(columns=["pneumonia"]), problems, rejected)
    frame["record_id"] = frame["stay_id"]
    return frame[[*PLACE, "age", "sex", "image"]], exported, rejected


def _with_table(reading: Reading, path: Path, known: set[str], until: float) -> Reading:
    labs, bad_labs = measurements(path / "labs.csv", LABS, known, until)
    found, bad_codes = conditions(path / DIAGNOSES, known, until)
    frame = reading.frame.copy()
    for name, column in last_values(labs, frame["record_id"], LABS).items():
        frame[name] = column.to_numpy()
    for name in CONDITIONS:
        having = found.loc[found["name"] == name, "stay_id"]
        frame[name] = np.where(frame["record_id"].isin(having), "yes", "no").astype(object)
    latest = {**reading.latest, **lateness(labs, until), **lateness(found, until)}
    rejected = [*reading.rejected, *bad_labs, *bad_codes]
    return replace(reading, frame=frame, features=FEATURES, latest=latest, rejected=rejected)


def _with_series(
    reading: Reading, path: Path, known: set[str], until: float, step_hours: float, *, only: bool
) -> Reading:
    vitals, rejected = measurements(path / "vitals.csv", VITALS, known, until)
    frame, rejected = reading.frame, [*reading.rejected, *rejected]
    if only:
        absent = ~frame["record_id"].isin(vitals["stay_id"]).to_numpy()
        frame, rejected = reject(frame, {"no vital sign before the prediction": absent}, rejected)
    series = grid(vitals, frame["record_id"], VITALS, until, step_hours)
    latest = {**reading.latest, **lateness(vitals, until)}
    return replace(reading, frame=frame, series=series, latest=latest, rejected=rejected)
