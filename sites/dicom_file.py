"""Opens a DICOM file: only the listed tags are read, and what pydicom has to say of a file goes nowhere.

A name, a birth date or an address in a header never enters memory; a warning can quote a header's value.
"""

import logging
import math
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

import pydicom
from pydicom.dataset import Dataset
from pydicom.encaps import parse_basic_offsets, parse_fragments
from pydicom.errors import BytesLengthException, InvalidDicomError

from coordinator.errors import DataError

WHOSE: Final = (
    "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "PatientID", "PatientSex", "PatientAge",
)  # fmt: skip
UNREADABLE: Final = "pixel data that is truncated, or compressed in a way this program cannot read"
SHAPE: Final = (
    "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PlanarConfiguration", "BitsAllocated",
    "BitsStored", "HighBit", "PixelRepresentation", "PhotometricInterpretation",
)  # fmt: skip
SPACING: Final = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing", "PixelAspectRatio")
VALUES: Final = (
    "RescaleSlope", "RescaleIntercept", "ModalityLUTSequence",
    "VOILUTSequence", "VOILUTFunction", "WindowCenter", "WindowWidth",
)  # fmt: skip
COLOURS: Final = tuple(
    f"{segmented}{colour}PaletteColorLookupTable{part}"
    for colour in ("Red", "Green", "Blue")
    for segmented, part in (("", "Descriptor"), ("", "Data"), ("Segmented", "Data"))
)
FRAMES: Final = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
TAGS: Final = (*WHOSE, "BurnedInAnnotation", *SHAPE, *SPACING, *VALUES, *COLOURS, *FRAMES)
UNDEFINED: Final = 0xFFFFFFFF  # length of compressed pixel data, which comes in fragments
BROKEN: Final = (
    ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, MemoryError, NotImplementedError,
    OSError, RuntimeError, TypeError, ValueError, struct.error, zlib.error, BytesLengthException,
)  # fmt: skip


def opened(path: Path) -> Dataset:
    """Read a file's listed tags, without its pixels, which must be there and whole.

    Raises:
        DataError: one short reason without a value of the header.
    """
    try:
        with silent(), path.open("rb") as file:
            header = pydicom.dcmread(file, specific_tags=list(TAGS), stop_before_pixels=True)
            for tag in TAGS:
                header.get(tag)  # pydicom converts late: a broken value shows here
            whole = not header.file_meta.TransferSyntaxUID.is_deflated and _has_all_pixels(file, header)
    except InvalidDicomError:
        raise DataError("not a DICOM file") from None
    except BROKEN:
        raise DataError("a damaged or truncated DICOM file") from None
    if not whole:
        raise DataError(UNREADABLE)
    if header.get("BurnedInAnnotation") == "YES":
        raise DataError("text burned into the pixels, which may name the patient")
    return header


def _has_all_pixels(file: BinaryIO, header: Dataset) -> bool:
    """Say whether the file, read up to its pixel data, holds all of that.

    pydicom decodes the frame asked for, and would not see that others are cut off.
    """
    implicit, little = header.original_encoding
    order, start = ("<" if little else ">"), file.tell()
    size = file.seek(0, 2)
    file.seek(start + (4 if implicit else 8))  # past the tag, and the VR where it stands
    length = _length(file, order)
    if length != UNDEFINED:
        return file.tell() + max(length, _bytes_claimed(header)) <= size
    parse_basic_offsets(file, endianness=order)
    _, fragments = parse_fragments(file, endianness=order)
    file.seek(fragments[-1] + 4)
    file.seek(_length(file, order), 1)
    return file.read(8) == struct.pack(f"{order}HHL", 0xFFFE, 0xE0DD, 0)  # the mark that no fragment follows


def _bytes_claimed(header: Dataset) -> int:
    """Give how many bytes the pixels take if the header is right; chroma may be stored at half the rate."""
    counts = (header.get(tag) for tag in ("Rows", "Columns", "SamplesPerPixel", "NumberOfFrames"))
    bits = math.prod(int(count or 1) for count in counts) * int(header.get("BitsAllocated") or 1)
    return bits // 8 * 2 // 3 if header.get("PhotometricInterpretation") == "YBR_FULL_422" else bits // 8


def _length(file: BinaryIO, order: str) -> int:
    return int(struct.unpack(f"{order}L", file.read(4))[0])


@contextmanager
def silent() -> Iterator[None]:
    """Keep pydicom from warning and logging: a file's peculiarities end in a reason."""
    logger = logging.getLogger("pydicom")
    before, logger.disabled = logger.disabled, True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.disabled = before
