"""PNG and JPEG images, loose or in zip archives that are read where they are, and the table that names them.

The folder holds one table (CSV, CSV.gz or Parquet), whose columns the study explains, and the images, in
folders at will. A row names its image by the end of its path, with or without its ending. Where a task reads
the table too, a row without an image stays, its image masked; else it is quarantined. An image that no row
names is quarantined.

Images become (3, pixels, pixels): the central square, resized.
"""

from pathlib import Path
from typing import Final
from zipfile import ZIP_STORED, ZipFile, ZipInfo

import numpy as np
import numpy.typing as npt
import pandas as pd

from coordinator.config import Columns, Data, Site
from coordinator.errors import ConfigError, DataError
from coordinator.specs import Deal
from sites.columns import latest, read_columns, table_file
from sites.datasets import table
from sites.pictures import Pictures
from sites.reading import Images, Reading, Rejected
from sites.resizing import picture
from sites.tables import read_cells, reject

ARCHIVE: Final = "images.zip"
FOUND: Final = "place"  # a name that no column of the study can have


def deal(spec: Deal, out: Path) -> None:
    """Write each site's rows, and `out`/SITE/images.zip with the images they name.

    Raises:
        ConfigError: the study does not say what the columns mean.
        DataError: the folder cannot be used as a whole, or a site gets no row.
    """
    columns, source = _columns(spec.data), table_file(Path(str(spec.path)))
    table.deal(spec.model_copy(update={"path": str(source)}), out)
    pictures = Pictures(source.parent, apart=(source.name,))
    dealt = 0
    for site in spec.sites:
        found = _named_anywhere(out / site.name / source.name, str(columns.image), pictures)
        _archive(out / site.name / ARCHIVE, pictures, sorted(found))
        dealt += len(found)
    if left := len(pictures.names) + len(pictures.others) - dealt:
        print(f"warning: {source.parent.name}: {left} files are named by no row of a site of the task")


def read(path: Path, data: Data, site: Site) -> Reading:
    """Parse one site's folder.

    Raises:
        ConfigError: the study does not say what the columns mean.
        DataError: the folder or its table cannot be used as a whole.
    """
    return _reading(path, data, known=True)


def read_new(path: Path, data: Data, site: Site) -> Reading:
    """Parse a folder of records to be predicted, whose outcome nobody needs to know: all labels are 0.

    Raises:
        ConfigError: as `read`.
        DataError: as `read`.
    """
    return _reading(path, data, known=False)


def _reading(path: Path, data: Data, *, known: bool) -> Reading:
    if not path.is_dir():
        raise DataError(f"{path}: expected a folder with a table and images or a zip of them; check the path")
    columns, source = _columns(data), table_file(path)
    frame, features, rejected = read_columns(source, columns, known=known)
    pictures = Pictures(path, apart=(source.name,))
    frame[FOUND], problems = _named(frame[str(columns.image)], pictures, "table" in data.modalities)
    if not frame[FOUND].notna().any():
        raise DataError(f"{source}: no row's '{columns.image}' is an image of the folder; check both")
    stray = sorted(set(pictures.names) - _named_anywhere(source, str(columns.image), pictures))
    rejected += [Rejected(name, 0, f"no row in {source.name}") for name in stray]
    rejected += [Rejected(name, 0, reason) for name, reason in pictures.others.items()]
    frame, rejected = reject(frame, problems, rejected)
    names = [name if isinstance(name, str) else None for name in frame.pop(FOUND)]

    def decode(row: int) -> npt.NDArray[np.uint8] | None:
        name = names[row]
        return None if name is None else picture(pictures.content(name), data.pixels)

    images = Images((3, data.pixels, data.pixels), "uint8", decode)
    return Reading(
        frame, features, images=images, rejected=rejected, age=columns.age, sex=columns.sex,
        latest=latest(frame, columns),
    )  # fmt: skip


def _named(
    cells: pd.Series, pictures: Pictures, may_lack: bool
) -> tuple[npt.NDArray[np.object_], dict[str, npt.NDArray[np.bool_]]]:
    """Find the image of each row (None: none), and what is wrong with it."""
    found = [pictures.called(word) if isinstance(word, str) else [] for word in cells]
    names = np.array([each[0] if len(each) == 1 else None for each in found], dtype=object)
    given, several = cells.notna().to_numpy(), np.array([len(each) > 1 for each in found], dtype=bool)
    absent = np.array([name is None for name in names], dtype=bool)
    problems = {
        f"{cells.name}: several images of this name": several,
        f"{cells.name}: named in several rows": ~absent & pd.Series(names).duplicated(keep=False).to_numpy(),
    }
    if not may_lack:
        problems[f"{cells.name}: not in the folder"] = absent & given
        problems[f"{cells.name}: empty"] = absent & ~given
    return names, problems


def _named_anywhere(source: Path, column: str, pictures: Pictures) -> set[str]:
    """List the images that any row names, a row that cannot be used too."""
    cells, _ = read_cells(source, [column])
    return {name for word in cells[column] for name in pictures.called(word)}


def _archive(path: Path, pictures: Pictures, names: list[str]) -> None:
    with ZipFile(path, "w", ZIP_STORED) as archive:
        for name in names:
            archive.writestr(ZipInfo(name), pictures.content(name))  # dated 1980: equal deals, equal bytes


def _columns(data: Data) -> Columns:
    if data.columns is None or data.columns.image is None:
        raise ConfigError(
            f"'{data.source}' needs to know which column names the image", key="data.columns.image"
        )
    return data.columns
