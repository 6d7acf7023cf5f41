"""DICOM files of every kind that the tests need, of invented patients."""

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

NAME, PATIENT = "Quixote^Alonso", "MRN-4711"


def dicom(stored: np.ndarray, *, bits: int | None = None, **elements: object) -> Dataset:
    """Make a file of stored values: (rows, columns), or with frames before, or three colours after."""
    file = Dataset()
    file.file_meta = FileMetaDataset()
    file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file.SOPClassUID = file.file_meta.MediaStorageSOPClassUID = CTImageStorage
    file.SOPInstanceUID = file.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    file.StudyInstanceUID, file.SeriesInstanceUID = generate_uid(), generate_uid()
    file.PatientName, file.PatientID, file.PatientSex, file.PatientAge = NAME, PATIENT, "F", "044Y"
    colours = elements.get("PhotometricInterpretation", "MONOCHROME2") in ("RGB", "YBR_FULL")
    shape = stored.shape[:-1] if colours else stored.shape
    file.SamplesPerPixel, file.Rows, file.Columns = (3 if colours else 1), *shape[-2:]
    if len(shape) == 3:
        file.NumberOfFrames = shape[0]
    if colours:
        file.PlanarConfiguration = 0
    file.PhotometricInterpretation = "MONOCHROME2"
    file.BitsAllocated = stored.itemsize * 8
    file.BitsStored = bits or file.BitsAllocated
    file.HighBit = file.BitsStored - 1
    file.PixelRepresentation = int(stored.dtype.kind == "i")
    for keyword, value in elements.items():
        setattr(file, keyword, value)
    content = stored.astype(stored.dtype.newbyteorder("<")).tobytes()
    file.PixelData = content + b"\0" * (len(content) % 2)
    file["PixelData"].VR = "OB" if stored.itemsize == 1 else "OW"
    return file


def save(file: Dataset, path: Path) -> Path:
    """Write a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file.save_as(path, enforce_file_format=True)
    return path
