"""The prepared format, version 1: a site's typed, un-normalised records with their frozen roles.

records.parquet (record, patient, label, role, the features), images.npy for image tasks, prepared.json (the
`Summary`), quarantine.csv. Other parts of Suture read prepared.json as plain JSON.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import ValidationError

from coordinator.config import Record
from coordinator.errors import DataError
from coordinator.specs import PREPARED_FORMAT
from sites import quarantine
from sites.folders import replaced
from sites.reading import Feature, Rejected
from sites.split import check_disjoint

RECORDS, IMAGES, SUMMARY, QUARANTINE = "records.parquet", "images.npy", "prepared.json", "quarantine.csv"


class Count(Record):
    """How many records, patients, and records with the outcome."""

    records: int
    patients: int
    events: int


class Summary(Record):
    """What prepared.json says of a site's records."""

    format: int
    site: str
    title: str
    source: str
    reads: Literal["table", "image"]
    features: tuple[Feature, ...]
    records: int
    patients: int
    events: int
    roles: dict[str, Count]
    quarantined: dict[str, int]
    warnings: tuple[str, ...]
    age_mean: float | None = None
    female_share: float | None = None


@dataclass(frozen=True)
class Prepared:
    """Records (n rows: record, patient, label, role, features), images (n, 1, pixels, pixels) or None."""

    summary: Summary
    frame: pd.DataFrame
    images: npt.NDArray[np.float32] | None


def write(folder: Path, prepared: Prepared, rejected: Sequence[Rejected]) -> None:
    """Write a site's folder whole, in place of an earlier one."""
    with replaced(folder) as partial:
        prepared.frame.to_parquet(partial / RECORDS, index=False)
        if prepared.images is not None:
            np.save(partial / IMAGES, prepared.images, allow_pickle=False)
        text = prepared.summary.model_dump_json(indent=1, exclude_none=True) + "\n"
        (partial / SUMMARY).write_text(text, encoding="utf-8")
        quarantine.write(partial / QUARANTINE, rejected)


def read(folder: Path) -> Prepared:
    """Read a site's folder; images stay on disk until they are used.

    Raises:
        DataError: a file is missing, damaged, of another version, or a patient is on two sides.
    """
    try:
        summary = Summary.model_validate_json((folder / SUMMARY).read_bytes())
        frame = pd.read_parquet(folder / RECORDS)
        images = np.load(folder / IMAGES, mmap_mode="r") if summary.reads == "image" else None
    except (OSError, ValueError, ValidationError) as error:
        problem = str(error).splitlines()[0]
        raise DataError(
            f"{folder}: not a folder of prepared records ({problem}); "
            "remove the folder and prepare the site again"
        ) from None
    _check(folder, summary, frame, images)
    return Prepared(summary, frame, images)


def _check(
    folder: Path, summary: Summary, frame: pd.DataFrame, images: npt.NDArray[np.float32] | None
) -> None:
    again = "remove the folder and prepare the site again"
    if summary.format != PREPARED_FORMAT:
        raise DataError(f"{folder}: format {summary.format}, this version reads {PREPARED_FORMAT}; {again}")
    expected = ["record", "patient", "label", "role", *(feature.name for feature in summary.features)]
    if list(frame.columns) != expected:
        raise DataError(f"{folder}/{RECORDS}: columns {list(frame.columns)}, expected {expected}; {again}")
    if len(frame) != summary.records or (images is not None and len(images) != len(frame)):
        raise DataError(
            f"{folder}: {RECORDS}, {IMAGES} and {SUMMARY} differ in their number of records; {again}"
        )
    check_disjoint(frame["patient"].to_numpy(), frame["role"].to_numpy(), f"{folder}/{RECORDS}")
