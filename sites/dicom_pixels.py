"""A DICOM file's pixels as it means them to be seen: one grey image of 0 (dark) to 1 (bright).

The grey road is that of the standard (DICOM PS3.4 N.2): stored values, modality (rescale or table), values of
interest (the first table, else the first window, else the range that the stored bits can hold), polarity.
Colours become luminance. Of several frames the middle one is read, alone.
"""

from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pydicom.pixels
from pydicom.dataset import Dataset

from coordinator.errors import DataError
from sites.dicom_file import BROKEN, SPACING, UNREADABLE, VALUES, silent

LARGEST: Final = 10_000  # pixels a side; a larger claim is a broken header or an attack on memory
BLOCK: Final = 1 << 20  # pixels brought to grey at once, since pydicom does it in float64
GREY: Final = ("MONOCHROME1", "MONOCHROME2")
COLOURED: Final = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")  # all decoded as RGB
LUMINANCE: Final = (0.299, 0.587, 0.114)  # of red, green and blue (ITU-R BT.601)
Image = npt.NDArray[np.float32]
Stored = npt.NDArray[Any]


def grey(path: Path, header: Dataset) -> Image:
    """Decode a file's (middle) frame: float32 (rows, columns) in [0, 1].

    Args: `header` is the file's, `of_frame(opened(path))`.

    Raises:
        DataError: one short reason without a value of the header.
    """
    check_size(header)  # before any pixel is decoded: that takes as much memory as the header claims
    try:
        with silent():
            stored = pydicom.pixels.pixel_array(path, index=middle(header))
    except BROKEN:
        raise DataError(UNREADABLE) from None
    try:
        with silent():
            return _unit(stored, header)
    except BROKEN:
        raise DataError("pixel values that its rescaling, window, table or colours do not fit") from None


def middle(header: Dataset) -> int:
    """Number the frame that stands for the file, counted from 0."""
    return max(int(header.get("NumberOfFrames") or 1), 1) // 2


def of_frame(header: Dataset) -> Dataset:
    """Give the header with what it says of its middle frame alone, or of all frames, laid on top.

    Enhanced CT and MR keep spacing, rescaling and windows in such groups (DICOM PS3.3 C.7.6.16).
    """
    found = Dataset()
    found.update(header)
    found.file_meta = header.file_meta
    for name, frame in (
        ("SharedFunctionalGroupsSequence", 0), ("PerFrameFunctionalGroupsSequence", middle(header))
    ):  # fmt: skip
        groups = header.get(name) or []
        for element in groups[frame] if frame < len(groups) else ():
            if element.VR == "SQ" and element.value:
                found.update({e.tag: e for e in element.value[0] if e.keyword in (*SPACING, *VALUES)})
    for name in VALUES:
        if name in found and found[name].is_empty:
            del found[name]
    return found


def check_size(header: Dataset) -> None:
    """Refuse what is no image, or larger than any real one.

    Raises:
        DataError: one short reason.
    """
    try:
        rows, columns = (int(header.get(side) or 0) for side in ("Rows", "Columns"))
        samples, frames = int(header.get("SamplesPerPixel") or 1), int(header.get("NumberOfFrames") or 1)
    except BROKEN:
        raise DataError("a damaged or truncated DICOM file") from None
    if not all(0 < side <= LARGEST for side in (rows, columns)):
        raise DataError(f"no image of at most {LARGEST} pixels a side")
    known = (*GREY, "PALETTE COLOR") if samples == 1 else COLOURED
    if samples not in (1, 3) or frames < 0 or header.get("PhotometricInterpretation") not in known:
        raise DataError("neither a grey image nor one in red, green and blue")


def _unit(stored: Stored, header: Dataset) -> Image:
    unit = np.empty(stored.shape[:2], dtype=np.float32)
    step = max(1, BLOCK // stored.shape[1])
    shown = _shown if header.PhotometricInterpretation in GREY else _luminance
    for start in range(0, len(stored), step):
        unit[start : start + step] = shown(stored[start : start + step], header)
    if not np.isfinite(unit).all():
        raise ValueError("values that are not finite")
    np.clip(unit, 0, 1, out=unit)
    return 1 - unit if header.PhotometricInterpretation == "MONOCHROME1" else unit


def _shown(stored: Stored, header: Dataset) -> Stored:
    values = pydicom.pixels.apply_modality_lut(stored, header)
    if header.get("VOILUTSequence"):
        # a table is looked up by whole numbers
        found = pydicom.pixels.apply_voi_lut(np.rint(values).astype(np.int64), header)
        return found / (2.0 ** int(header.VOILUTSequence[0].LUTDescriptor[2]) - 1)
    lowest, highest = _range(header)
    if "WindowCenter" in header and "WindowWidth" in header:
        # pydicom maps a window to this range, and turns both round where the slope is negative
        return (pydicom.pixels.apply_windowing(values, header) - lowest) / (highest - lowest)
    return (values - min(lowest, highest)) / abs(highest - lowest)


def _range(header: Dataset) -> tuple[float, float]:
    """Give the values that the lowest and the highest stored value stand for, after the modality step."""
    if header.get("ModalityLUTSequence"):
        return 0.0, 2.0 ** int(header.ModalityLUTSequence[0].LUTDescriptor[2]) - 1
    bits = int(header.BitsStored)
    lowest = -(2.0 ** (bits - 1)) if header.PixelRepresentation else 0.0
    slope, intercept = 1.0, 0.0
    if "RescaleSlope" in header and "RescaleIntercept" in header:
        slope, intercept = float(header.RescaleSlope), float(header.RescaleIntercept)
    return slope * lowest + intercept, slope * (lowest + 2.0**bits - 1) + intercept


def _luminance(stored: Stored, header: Dataset) -> Stored:
    if header.PhotometricInterpretation == "PALETTE COLOR":
        coloured = pydicom.pixels.apply_color_lut(stored, header)[..., :3]
        brightest = float(np.iinfo(coloured.dtype).max)
    else:
        coloured, brightest = stored, 2.0 ** int(header.BitsStored) - 1
    return coloured @ np.array(LUMINANCE) / brightest
