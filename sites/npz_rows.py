"""Arrays of an .npz archive row by row, so that none need fit into memory."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile, ZipInfo

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from coordinator.errors import DataError

HEADERS: Final = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
Array = npt.NDArray[Any]


class Rows:
    """One array of an archive: its `shape`, `dtype`, and its rows, which are cheap to read in order."""

    def __init__(self, path: Path, name: str) -> None:
        """Read the array's header; the archive stays open.

        Raises:
            DataError: there is no such array, or it is not one of plain numbers.
        """
        problem = f"{path}: no array '{name}' of plain numbers; expected an .npz archive as MedMNIST has it"
        try:
            self._file = ZipFile(path).open(f"{name}.npy")  # noqa: SIM115, open as long as the object
            self.shape, fortran, self.dtype = HEADERS[npy.read_magic(self._file)](self._file)
        except (OSError, KeyError, ValueError, BadZipFile):
            raise DataError(problem) from None
        if fortran or self.dtype.hasobject or not self.shape:
            raise DataError(problem)
        self._start = self._file.tell()
        self._size = int(np.prod(self.shape[1:])) * self.dtype.itemsize

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, row: int) -> Array:
        """Read one row.

        Raises:
            DataError: the archive is damaged there.
        """
        try:
            self._file.seek(self._start + row * self._size)
            content = self._file.read(self._size)
            return np.frombuffer(content, self.dtype).reshape(self.shape[1:])
        except (OSError, EOFError, ValueError, BadZipFile):
            raise DataError("a damaged archive") from None


def append(
    archive: ZipFile, name: str, shape: tuple[int, ...], dtype: np.dtype[Any], rows: Iterable[Array]
) -> None:
    """Add an array to an archive that is open for writing, row by row."""
    entry = ZipInfo(f"{name}.npy")  # dated 1980: equal rows give equal bytes
    entry.compress_type = ZIP_DEFLATED
    header = {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    with archive.open(entry, "w", force_zip64=True) as file:
        npy.write_array_header_1_0(file, header)
        for row in rows:
            file.write(np.ascontiguousarray(row, dtype).tobytes())
