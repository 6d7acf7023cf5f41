"""Writes a picture as the DICOM file a site's scanner would have written."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

from coordinator.config import Scanner
from coordinator.draws import key
from sites.datasets.chest_phantom import Person, spacing_mm

PREFIX = "2.25."  # UIDs made of a number need no registered root (DICOM PS3.5 B.2)


def write_radiograph(
    path: Path, picture: npt.NDArray[np.float64], scanner: Scanner, patient: Person, image: int
) -> None:
    """Write `picture` (rows, columns), values in [0, 1], identities in the header included."""
    file = Dataset()
    file.file_meta = FileMetaDataset()
    file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file.file_meta.MediaStorageSOPClassUID = file.SOPClassUID = DigitalXRayImageStorageForPresentation
    file.SOPInstanceUID = f"{PREFIX}{key(patient.seed, 'uid', image)}"
    file.file_meta.MediaStorageSOPInstanceUID = file.SOPInstanceUID
    file.PatientName, file.PatientID = patient.name, patient.patient_id
    file.PatientSex, file.PatientAge = patient.sex, f"{patient.age:03d}Y"
    file.Modality, file.BodyPartExamined, file.ViewPosition = "DX", "CHEST", "PA"
    _set_pixels(file, picture, scanner)
    file.save_as(path, enforce_file_format=True)


def _set_pixels(file: Dataset, picture: npt.NDArray[np.float64], scanner: Scanner) -> None:
    brightest = 2**scanner.bits - 1
    shown = 1 - picture if scanner.photometric == "MONOCHROME1" else picture
    stored = np.rint(shown * brightest).astype("<u1" if scanner.bits == 8 else "<u2")
    file.Rows, file.Columns = stored.shape
    file.SamplesPerPixel, file.PixelRepresentation = 1, 0
    file.PhotometricInterpretation = scanner.photometric
    file.BitsAllocated, file.BitsStored, file.HighBit = stored.itemsize * 8, scanner.bits, scanner.bits - 1
    file.RescaleSlope, file.RescaleIntercept = 1, 0
    file.PixelSpacing = [round(spacing_mm(scanner), 6)] * 2
    content = stored.tobytes()
    file.PixelData = content + b"\0" * (len(content) % 2)  # DICOM values have an even length
