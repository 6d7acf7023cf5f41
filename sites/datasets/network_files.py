"""Writes a synthetic hospital's stays as the files it would export, in its own words and units.

| file | columns |
|---|---|
| patients.csv | stay_id, patient_id, name, age, sex, image (empty: none was taken), pneumonia |
| diagnoses.csv | stay_id, hour, code |
| labs.csv, vitals.csv | stay_id, hour, test, value, unit |
| images/*.dcm | as the site's scanner writes them, with the patient's name in the header |
"""

import csv
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from coordinator.config import Modality, Scanner
from coordinator.draws import key
from sites.datasets.chest_phantom import radiograph
from sites.datasets.dicom_files import write_radiograph
from sites.datasets.network_codes import CONDITIONS, DISCHARGE, LABS, VITALS, Measure, Practice
from sites.datasets.network_patients import Stay

PATIENTS: Final = "patients.csv"
DIAGNOSES: Final = "diagnoses.csv"
IMAGES: Final = "images"
PATIENT_COLUMNS: Final = ("stay_id", "patient_id", "name", "age", "sex", "image", "pneumonia")
DIAGNOSIS_COLUMNS: Final = ("stay_id", "hour", "code")
MEASURE_COLUMNS: Final = ("stay_id", "hour", "test", "value", "unit")
ARRIVAL, DISCHARGED = 0.0, 96.0  # hours when conditions from before, and the discharge diagnosis, are written
Row = Sequence[object]


def write_site(
    folder: Path, stays: Iterable[Stay], practice: Practice, scanner: Scanner, modalities: Sequence[Modality]
) -> None:
    """Write one hospital's export, as far as the task reads it; the stays are taken one by one."""
    folder.mkdir(parents=True)
    names: dict[str, tuple[str, ...]] = {PATIENTS: PATIENT_COLUMNS}
    if "table" in modalities:
        names |= {DIAGNOSES: DIAGNOSIS_COLUMNS, "labs.csv": MEASURE_COLUMNS}
    if "series" in modalities:
        names["vitals.csv"] = MEASURE_COLUMNS
    if "image" in modalities:
        (folder / IMAGES).mkdir()
    files = {name: (folder / name).open("w", encoding="utf-8", newline="") for name in names}
    try:
        for name, columns in names.items():
            csv.writer(files[name]).writerow(columns)
        for stay in stays:
            for name, rows in _rows(stay, practice).items():
                if name in files:
                    csv.writer(files[name]).writerows(rows)
            if "image" in modalities and stay.has_image:
                picture = radiograph(stay.person, stay.number, scanner)
                write_radiograph(folder / IMAGES / _image(stay), picture, scanner, stay.person, stay.number)
    finally:
        for file in files.values():
            file.close()


def _image(stay: Stay) -> str:
    return f"{stay.stay_id}.dcm"


def _rows(stay: Stay, practice: Practice) -> dict[str, Iterable[Row]]:
    one, draw = stay.person, np.random.default_rng(key(stay.person.seed, "minutes", stay.number))
    patient = (
        stay.stay_id, one.patient_id, one.name, one.age, one.sex, _image(stay) if stay.has_image else "",
        "yes" if stay.outcome else "no",
    )  # fmt: skip
    return {
        PATIENTS: [patient],
        DIAGNOSES: _diagnoses(stay, practice),
        "labs.csv": (
            row for sample in stay.labs for row in _values(stay, sample[0], sample[1:], LABS, practice)
        ),
        "vitals.csv": (
            row
            for hour, values in enumerate(stay.vitals)
            for row in _values(stay, hour + draw.uniform(0, 0.99), values, VITALS, practice)
        ),
    }


def _diagnoses(stay: Stay, practice: Practice) -> Iterator[Row]:
    for condition in stay.conditions:
        yield stay.stay_id, ARRIVAL, CONDITIONS[condition][practice.system]
    if stay.outcome:
        yield stay.stay_id, DISCHARGED, DISCHARGE[practice.system]


def _values(
    stay: Stay, hour: float, values: Iterable[float], measures: tuple[Measure, ...], practice: Practice
) -> Iterator[Row]:
    for measure, value in zip(measures, values, strict=True):
        if np.isfinite(value):
            unit = measure.units[practice.conventional]
            written = f"{(value - unit.offset) / unit.scale:.5g}"
            yield stay.stay_id, f"{hour:.2f}", measure.words[practice.system], written, unit.name
