"""The prepared format, version 2: a site's typed, un-normalised records with their frozen roles.

- `prepared.json`: the `Summary`; other parts of Suture read it as plain JSON.
- `records.parquet`: record, patient, label, role; with_series and with_image where the task has them; the
  table's features, NaN or null where missing.
- `series.npy`: float32 (records, steps, variables), NaN where nothing was measured.
- `images.npy`: uint8 (0 to 255) or float32 (0 to 1) (records, channels, height, width); zeros where there is
  none.
- `quarantine.csv`: file, row, reason.

Arrays are memory-mapped when read, one row per record in the order of records.parquet.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow.dataset  # noqa: F401 - reading takes it: once, before a fork server forks
from pydantic import Field, ValidationError

from coordinator.config import Modality, Record
from coordinator.errors import DataError
from coordinator.folders import replaced
from coordinator.specs import PREPARED_FORMAT
from sites import quarantine
from sites.reading import Feature, Rejected
from sites.split import check_disjoint

RECORDS, SUMMARY, QUARANTINE = "records.parquet", "prepared.json", "quarantine.csv"
SERIES, IMAGES = "series.npy", "images.npy"
PRESENT: Final = {"series": "with_series", "image": "with_image"}
Array = npt.NDArray[Any]


class Count(Record):
    """How many records, patients, and records with the outcome (None: of too few patients to tell)."""

    records: int
    patients: int
    events: int | None


class SeriesShape(Record):
    """What a record's grid holds."""

    steps: int
    step_hours: float
    variables: tuple[Feature, ...]


class ImageShape(Record):
    """What a record's image holds."""

    shape: tuple[int, int, int]
    dtype: str


class Profile(Record):
    """One variable over a site's patients, for the cohort table.

    `kind` is numeric, categorical or series. `n` patients have a value and `missing` have none; None where
    telling would count a few, and `small` names which of the two (n, missing) is few. `mean` and `std` are
    None where they would tell a few patients' values. `levels` counts the words that enough patients have,
    None where that would give another cell away; words of a few patients are not named.
    """

    name: str
    kind: str
    n: int | None
    missing: int | None
    mean: float | None = None
    std: float | None = None
    levels: dict[str, int | None] = Field(default_factory=dict)
    small: tuple[str, ...] = ()


class Summary(Record):
    """What prepared.json says of a site's records."""

    format: int
    site: str
    title: str
    source: str
    modalities: tuple[Modality, ...]
    features: tuple[Feature, ...]
    series: SeriesShape | None = None
    image: ImageShape | None = None
    records: int
    patients: int
    events: int | None
    classes: tuple[str, ...] = Field((), description="by number, where there are more than two: no events")
    roles: dict[str, Count]
    quarantined: dict[str, int]
    outside: dict[str, int] = Field(default_factory=dict)
    profile: tuple[Profile, ...] = ()
    warnings: tuple[str, ...]
    age_mean: float | None = None
    female_share: float | None = None
    age: str | None = Field(None, description="which feature is the age in years")
    sex: str | None = Field(None, description="which feature is the sex")


@dataclass(frozen=True)
class Prepared:
    """Records (n rows), and series and images with a row each, or None."""

    summary: Summary
    frame: pd.DataFrame
    series: Array | None = None
    images: Array | None = None


def write(folder: Path, prepared: Prepared, rejected: Sequence[Rejected]) -> None:
    """Write a site's folder whole, in place of an earlier one."""
    with replaced(folder) as partial:
        fill(partial, prepared, rejected)


def fill(folder: Path, prepared: Prepared, rejected: Sequence[Rejected]) -> None:
    """Write a site's files; images that were streamed into the folder are there already."""
    prepared.frame.to_parquet(folder / RECORDS, index=False)
    for name, array in ((SERIES, prepared.series), (IMAGES, prepared.images)):
        if array is not None and not (folder / name).exists():
            np.save(folder / name, array, allow_pickle=False)
    text = prepared.summary.model_dump_json(indent=1) + "\n"
    (folder / SUMMARY).write_text(text, encoding="utf-8")
    quarantine.write(folder / QUARANTINE, rejected)


def read(folder: Path) -> Prepared:
    """Read a site's folder; series and images stay on disk until they are used.

    Raises:
        DataError: a file is missing, damaged, of another version, or a patient is on two sides.
    """
    try:
        summary = Summary.model_validate_json((folder / SUMMARY).read_bytes())
        frame = pd.read_parquet(folder / RECORDS)
        series = _mapped(folder / SERIES) if summary.series else None
        images = _mapped(folder / IMAGES) if summary.image else None
    except (OSError, ValueError, ValidationError) as error:
        problem = str(error).splitlines()[0]
        raise DataError(
            f"{folder}: not a folder of prepared records ({problem}); "
            "remove the folder and prepare the site again"
        ) from None
    _check(folder, Prepared(summary, frame, series, images))
    return Prepared(summary, frame, series, images)


def _mapped(path: Path) -> Array:
    array: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    return array


def _check(folder: Path, found: Prepared) -> None:
    again = "remove the folder and prepare the site again"
    summary, frame = found.summary, found.frame
    if summary.format != PREPARED_FORMAT:
        raise DataError(f"{folder}: format {summary.format}, this version reads {PREPARED_FORMAT}; {again}")
    present = [PRESENT[modality] for modality in summary.modalities if modality in PRESENT]
    features = [feature.name for feature in summary.features]
    expected = ["record", "patient", "label", "role", *present, *features]
    if list(frame.columns) != expected:
        raise DataError(f"{folder}/{RECORDS}: columns {list(frame.columns)}, expected {expected}; {again}")
    lengths = {len(each) for each in (frame, found.series, found.images) if each is not None}
    if lengths != {summary.records}:
        raise DataError(
            f"{folder}: {RECORDS}, {SERIES}, {IMAGES} and {SUMMARY} differ in their number of records; "
            f"{again}"
        )
    check_disjoint(frame["patient"].to_numpy(), frame["role"].to_numpy(), f"{folder}/{RECORDS}")
