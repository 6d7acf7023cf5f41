"""A folder of DICOM files, in folders at will, and the table that says what each shows.

The folder itself holds one table (CSV, CSV.gz or Parquet) with a row per file, image or series: its image
column names the end of a file's path (with or without its ending), a SOPInstanceUID, or a SeriesInstanceUID,
whose row then holds for each of its images. Without `data.columns` the table has the columns `image` and
`label` (1, true, yes; 0, false, no). A file is one record; of several frames the middle one counts. Where a
task reads the table too, a row without a file stays, its image masked.

Where the study names a column PatientID, PatientAge or PatientSex and the table has none, it is the header's.
A header without a PatientID counts as a patient of its own study.
"""

from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from coordinator.config import Columns, Data, Site
from coordinator.errors import DataError
from coordinator.specs import Deal
from sites.columns import features_of, latest
from sites.datasets.dicom_deal import by_patient, by_site
from sites.datasets.dicom_table import AGE, IN_HEADER, PATIENT, SEX, Match, matched, table_in
from sites.imaging import read_image
from sites.reading import PLACE, Images, Reading, Rejected
from sites.resizing import fitted

PLAIN: Final = Columns(patient=PATIENT, image="image", label="label")


def deal(spec: Deal, out: Path) -> None:
    """Write each site's rows, and the files they name, to `out`/SITE/: by the site column, or by patient.

    Raises:
        DataError: the folder cannot be used as a whole, or a site gets no row.
    """
    folder, columns = Path(str(spec.path)), explained(spec.data)
    source = table_in(folder)
    if source is None:
        raise DataError(f"{folder}: no table says which image is whose; add one (config/studies/README.md)")
    found, _ = matched(folder, source, columns)
    divide = by_site if columns.site else by_patient
    divide(spec, columns, source, found, out)


def read(path: Path, data: Data, site: Site) -> Reading:
    """Parse one site's folder.

    Raises:
        DataError: the folder or its table cannot be used as a whole.
    """
    if not path.is_dir():
        raise DataError(f"{path}: expected a folder with DICOM files and a table of labels; check the path")
    columns, source = explained(data), table_in(path)
    found, rejected = matched(path, source, columns)
    frame, features = _frame(found, columns, "table" in data.modalities, rejected), features_of(columns)
    names = [name if isinstance(name, str) else None for name in frame.pop("place")]

    def decode(row: int) -> npt.NDArray[np.float32] | None:
        name = names[row]
        if name is None:
            return None
        image = read_image(path / name)
        return fitted(image.pixels, image.spacing_mm, data.pixels)[None]

    return Reading(
        frame, features, images=Images((1, data.pixels, data.pixels), "float32", decode), rejected=rejected,
        age=columns.age or AGE, sex=columns.sex or SEX, latest=latest(frame, columns),
    )  # fmt: skip


def explained(data: Data) -> Columns:
    """Give what the table's columns mean: what the study says, or image and label."""
    columns = data.columns or PLAIN
    return columns if columns.image else columns.model_copy(update={"image": PLAIN.image})


def _frame(found: list[Match], columns: Columns, may_lack: bool, rejected: list[Rejected]) -> pd.DataFrame:
    """Lay rows and headers together; a row that cannot be used is added to `rejected`."""
    records = list[dict[str, object]]()
    for name, header, row in found:
        if name is None or header is None:
            seen: dict[str, object] = {PATIENT: "", AGE: np.nan, SEX: None}
        else:
            seen = {PATIENT: header.patient_id or header.study, AGE: header.age, SEX: header.sex}
            row = {**row, "file": name, "row": 0, "record_id": header.record_id}
        record = {**seen, **row, "place": name}
        if columns.patient == PATIENT and PATIENT not in row:
            record["patient_id"] = seen[PATIENT]
        if name is None and not may_lack:
            rejected.append(Rejected(row["file"], row["row"], f"{columns.image}: not in the folder"))
        elif not record["patient_id"]:
            rejected.append(Rejected(row["file"], row["row"], "neither a PatientID nor a StudyInstanceUID"))
        else:
            records.append(record)
    if records:
        return pd.DataFrame(records)
    inputs = (*columns.numeric, *columns.categorical, columns.age, columns.sex)
    return pd.DataFrame(columns=[*PLACE, *IN_HEADER, "place", *(name for name in inputs if name)])
