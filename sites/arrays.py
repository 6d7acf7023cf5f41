"""A .npy file that grows row by row and ends with as many rows as came, so that none are held in memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy


class Growing:
    """Rows of one shape and type, appended to an open file."""

    def __init__(self, file: BinaryIO, shape: tuple[int, ...], dtype: str) -> None:
        """Leave room for the header; numpy pads it so that it fits any number of rows."""
        self._file, self._shape, self._dtype = file, shape, np.dtype(dtype)
        self.count = 0
        self._write_header()
        self._start = file.tell()

    def append(self, row: npt.NDArray[np.generic]) -> None:
        """Add one row.

        Raises:
            ValueError: it has another shape or type.
        """
        if row.shape != self._shape or row.dtype != self._dtype:
            raise ValueError(f"a row of {row.dtype} {row.shape}, expected {self._dtype} {self._shape}")
        self._file.write(np.ascontiguousarray(row).tobytes())
        self.count += 1

    def finish(self) -> None:
        """Write the header that counts the rows."""
        self._file.seek(0)
        self._write_header()
        if self._file.tell() != self._start:
            raise ValueError("numpy wrote a longer header than before")

    def _write_header(self) -> None:
        header = {
            "descr": npy.dtype_to_descr(self._dtype),
            "fortran_order": False,
            "shape": (self.count, *self._shape),
        }
        npy.write_array_header_1_0(self._file, header)


@contextmanager
def growing(path: Path, shape: tuple[int, ...], dtype: str) -> Iterator[Growing]:
    """Open a file to append rows to; it is whole when the block ends without an error."""
    with path.open("w+b") as file:
        rows = Growing(file, shape, dtype)
        yield rows
        rows.finish()
