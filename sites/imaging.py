"""DICOM files to images one can compare: polarity, bit depth and pixel spacing put right."""

import re
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from scipy.ndimage import gaussian_filter, map_coordinates

from coordinator.errors import DataError
from sites.dicom_file import BROKEN, SPACING, opened
from sites.dicom_pixels import GREY, check_size, grey, of_frame

_UID: Final = re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*))*")
SEXES: Final = {"F": "female", "M": "male"}
YEARS: Final = {"D": 1 / 365.25, "W": 7 / 365.25, "M": 1 / 12, "Y": 1.0}
Image = npt.NDArray[np.float32]


class Header(NamedTuple):
    """Whose image it is: `age` in years (NaN unknown), `sex` female, male or None, "" unknown."""

    record_id: str
    patient_id: str
    age: float
    sex: str | None
    series: str = ""
    study: str = ""


class Radiograph(NamedTuple):
    """`pixels` float32 (rows, columns) in [0, 1], high is bright; `spacing_mm` between rows and columns."""

    pixels: Image
    spacing_mm: tuple[float, float]


def read_header(path: Path, *, named: bool = True) -> Header:
    """Read whose image it is, without its pixels; `named`: it must say which patient's.

    Raises:
        DataError: one short reason without a value of the header.
    """
    header = opened(path)
    patient, record, series, study = (
        str(header.get(tag, "") or "").strip()
        for tag in ("PatientID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")
    )
    if not record or (named and not patient):
        raise DataError("no PatientID or SOPInstanceUID in the header")
    if not _UID.fullmatch(record) or len(record) > 64:
        raise DataError("a SOPInstanceUID that is no UID (DICOM PS3.5, 9.1)")
    return Header(record, patient, _age(header), SEXES.get(str(header.get("PatientSex", ""))), series, study)


def read_radiograph(path: Path) -> Radiograph:
    """Read one grey image of a known spacing.

    Raises:
        DataError: one short reason without a value of the header.
    """
    header = opened(path)
    one = header.get("SamplesPerPixel", 1) == 1 and header.get("NumberOfFrames") in (None, "", 0, 1)
    if not one or header.get("PhotometricInterpretation") not in GREY:
        raise DataError("not a single grey image")
    pixels, spacing = grey(path, of_frame(header)), spacing_of(header)
    if spacing is None:
        raise DataError("no pixel spacing of 0 to 100 mm")
    return Radiograph(pixels, spacing)


def read_image(path: Path) -> Radiograph:
    """Read any image as grey, of several frames the middle one; without a spacing pixels are square.

    Raises:
        DataError: one short reason without a value of the header.
    """
    header = opened(path)
    check_size(header)
    header = of_frame(header)
    return Radiograph(grey(path, header), spacing_of(header) or (1.0, 1.0))


def resample(image: Image, spacing_mm: tuple[float, float], field_mm: float, pixels: int) -> Image:
    """Resample the central square of `field_mm` to (pixels, pixels), smoothed against aliasing.

    So one pixel means the same length at every site; outside the detector the edge is repeated.
    """
    step = np.array([field_mm / pixels / spacing for spacing in spacing_mm])  # in source pixels
    smooth = gaussian_filter(image, sigma=np.sqrt(np.maximum(step**2 - 1, 0) / 12), mode="nearest")
    offsets = np.arange(pixels) - (pixels - 1) / 2
    rows, columns = ((size - 1) / 2 + offsets * by for size, by in zip(image.shape, step, strict=True))
    grid = np.meshgrid(rows, columns, indexing="ij")
    return map_coordinates(smooth, grid, order=1, mode="nearest", output=np.float32)


def spacing_of(header: Dataset) -> tuple[float, float] | None:
    """Give the distance between rows and between columns (mm, or a ratio): the first usable one it has."""
    for tag in SPACING:
        try:
            rows, columns = (float(value) for value in header.get(tag) or ())
        except BROKEN:
            continue
        if 0 < rows < 100 and 0 < columns < 100:
            return rows, columns
    return None


def _age(header: Dataset) -> float:
    text = str(header.get("PatientAge", "")).strip()
    known = len(text) == 4 and text[:3].isdigit() and text[3] in YEARS
    return int(text[:3]) * YEARS[text[3]] if known else float("nan")
