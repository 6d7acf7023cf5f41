"""Reads a synthetic hospital's radiographs: each the image of the stay that names it, and of no other."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from coordinator.errors import DataError
from sites.datasets.chest_phantom import FIELD_MM
from sites.datasets.network_files import IMAGES, PATIENTS
from sites.imaging import read_header, read_radiograph, resample
from sites.reading import Images, Reading, Rejected
from sites.tables import reject


def with_images(reading: Reading, path: Path, exported: pd.DataFrame, pixels: int, *, only: bool) -> Reading:
    """Add the images; where nothing but images is read (`only`), a stay without one is rejected."""
    frame, folder = reading.frame, path / IMAGES
    files = {file.name for file in folder.iterdir()} if folder.is_dir() else set()
    stray = sorted(files - set(exported["image"]))
    rejected = [*reading.rejected, *(Rejected(name, 0, f"no row in {PATIENTS}") for name in stray)]
    named = (frame["image"] != "").to_numpy()
    problems = {
        "image: not in the folder": named & ~frame["image"].isin(list(files)).to_numpy(),
        "image: named in several rows": named & frame["image"].duplicated(keep=False).to_numpy(),
        "no image": ~named & only,
    }
    frame, rejected = reject(frame, problems, rejected)
    frame, rejected = _of_the_patient(frame, folder, rejected)
    names = frame["image"].tolist()

    def decode(row: int) -> npt.NDArray[np.float32] | None:
        if not names[row]:
            return None
        found = read_radiograph(folder / names[row])
        return resample(found.pixels, found.spacing_mm, FIELD_MM, pixels)[None]

    images = Images((1, pixels, pixels), "float32", decode)
    return replace(reading, frame=frame, images=images, rejected=rejected)


def _of_the_patient(
    frame: pd.DataFrame, folder: Path, rejected: list[Rejected]
) -> tuple[pd.DataFrame, list[Rejected]]:
    kept, seen = list[int](), set[str]()
    for place, (name, patient) in enumerate(zip(frame["image"], frame["patient_id"], strict=True)):
        reason = _problem(folder / name, patient, seen) if name else None
        if reason is None:
            kept.append(place)
        else:
            rejected.append(Rejected(name, 0, reason))
    return frame.iloc[kept].reset_index(drop=True), rejected


def _problem(path: Path, patient: str, seen: set[str]) -> str | None:
    try:
        header = read_header(path)
    except DataError as reason:
        return str(reason)
    if header.patient_id != patient:
        return "the header names another patient than the stay's"
    if header.record_id in seen:
        return "the same image as an earlier stay's"
    seen.add(header.record_id)
    return None
