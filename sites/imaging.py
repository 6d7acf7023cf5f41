"""DICOM files to images one can compare: polarity, bit depth and pixel spacing put right.

Only the tags listed here are read; a name, a birth date or an address in a header never enters memory.
"""

import struct
import warnings
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from scipy.ndimage import gaussian_filter, map_coordinates

from coordinator.errors import DataError

TAGS: Final = (
    "SOPInstanceUID", "PatientID", "PatientSex", "PatientAge", "Rows", "Columns", "NumberOfFrames",
    "SamplesPerPixel", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
    "PhotometricInterpretation", "PixelSpacing", "ImagerPixelSpacing", "RescaleSlope",
    "RescaleIntercept", "PixelData",
)  # fmt: skip
LARGEST: Final = 10_000  # pixels a side; a larger claim is a broken header or an attack on memory
SEXES: Final = {"F": "female", "M": "male"}
BROKEN: Final = (
    AttributeError, EOFError, IndexError, KeyError, NotImplementedError, OSError, OverflowError, RuntimeError,
    TypeError, ValueError, struct.error, BytesLengthException,
)  # fmt: skip
Image = npt.NDArray[np.float32]


class Radiograph(NamedTuple):
    """`pixels` float32 (rows, columns) in [0, 1], high is bright; `spacing_mm` between rows and columns."""

    pixels: Image
    spacing_mm: tuple[float, float]
    record_id: str
    patient_id: str
    age: float
    sex: str | None


def read_radiograph(path: Path) -> Radiograph:
    """Read one grey image.

    Raises:
        DataError: one short reason without a value of the header.
    """
    header = _header(path)
    patient, record = (str(header.get(tag, "")).strip() for tag in ("PatientID", "SOPInstanceUID"))
    if not patient or not record:
        raise DataError("no PatientID or SOPInstanceUID in the header")
    return Radiograph(
        _grey(header),
        _spacing(header),
        record,
        patient,
        _age(header),
        SEXES.get(str(header.get("PatientSex", ""))),
    )


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


def _header(path: Path) -> Dataset:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a file's peculiarities end in a reason, not on the terminal
            header = pydicom.dcmread(path, specific_tags=list(TAGS))
            for tag in TAGS[:-1]:
                header.get(tag)  # pydicom converts late: a broken value shows here
    except InvalidDicomError:
        raise DataError("not a DICOM file") from None
    except BROKEN:
        raise DataError("a damaged or truncated DICOM file") from None
    return header


def _grey(header: Dataset) -> Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _check_grey(header)
            unit = _to_unit(header.pixel_array, header)
    except BROKEN:
        raise DataError(
            "pixel data that is truncated, or compressed in a way this program cannot read"
        ) from None
    return 1 - unit if header.PhotometricInterpretation == "MONOCHROME1" else unit


def _check_grey(header: Dataset) -> None:
    one = header.get("SamplesPerPixel", 1) == 1 and int(header.get("NumberOfFrames") or 1) == 1
    if not one or header.get("PhotometricInterpretation") not in ("MONOCHROME1", "MONOCHROME2"):
        raise DataError("not a single grey image")
    # before any pixel is decoded, since decoding takes as much memory as the header claims
    if not all(0 < int(header.get(side) or 0) <= LARGEST for side in ("Rows", "Columns")):
        raise DataError(f"no image of at most {LARGEST} pixels a side")


def _to_unit(stored: npt.NDArray[np.integer], header: Dataset) -> Image:
    # device units first (DICOM PS3.3 C.11.1), then the range that the stored bits can hold becomes [0, 1]
    bits, slope = int(header.BitsStored), float(header.get("RescaleSlope") or 1)
    intercept = float(header.get("RescaleIntercept") or 0)
    lowest = -(2 ** (bits - 1)) if header.PixelRepresentation else 0
    ends = [slope * value + intercept for value in (lowest, lowest + 2**bits - 1)]
    values = stored.astype(np.float32) * np.float32(slope) + np.float32(intercept)
    unit: Image = ((values - min(ends)) / (max(ends) - min(ends))).astype(np.float32)
    if not np.isfinite(unit).all():
        raise ValueError("rescaled values are not finite")
    return unit.clip(0, 1)


def _spacing(header: Dataset) -> tuple[float, float]:
    try:
        rows, columns = (float(value) for value in header.get("PixelSpacing") or header.ImagerPixelSpacing)
    except BROKEN:
        raise DataError("no pixel spacing") from None
    if not (0 < rows < 100 and 0 < columns < 100):
        raise DataError("a pixel spacing outside 0 to 100 mm")
    return rows, columns


def _age(header: Dataset) -> float:
    text = str(header.get("PatientAge", ""))
    return float(text[:3]) if text[3:] == "Y" and text[:3].isdigit() else float("nan")
