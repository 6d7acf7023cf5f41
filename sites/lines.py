"""A table's lines as text, whether it is a CSV file, a compressed one, or Parquet."""

import csv
import gzip
import io
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

import pyarrow as pa
import pyarrow.parquet as pq

from coordinator.errors import DataError

ENDINGS: Final = (".csv", ".csv.gz", ".parquet")
Line = tuple[int, list[str]]


def lines(path: Path, wanted: Collection[str] = ()) -> Iterator[Line]:
    """Give each line's number, as an editor counts, and its cells; empty lines are left out.

    Of Parquet line 0 is the header, line n the n-th row; only the wanted columns are read, where it has them.

    Raises:
        DataError: the file cannot be read, or is not of the kind that its ending says.
    """
    yield from _parquet(path, wanted) if path.suffix == ".parquet" else _delimited(path)


@contextmanager
def opened(path: Path, mode: str = "r") -> Iterator[IO[str]]:
    """Open a text file, compressed where its name says so; written, equal text gives equal bytes."""
    if path.suffix != ".gz":
        encoding = "utf-8-sig" if mode == "r" else "utf-8"
        with path.open(mode, encoding=encoding, newline="") as plain:
            yield plain
    elif mode == "r":
        with gzip.open(path) as packed, io.TextIOWrapper(packed, "utf-8-sig", newline="") as unpacked:
            yield unpacked
    else:
        with (
            path.open("wb") as raw,
            gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as packed,
            io.TextIOWrapper(packed, "utf-8", newline="") as unpacked,
        ):
            yield unpacked


def _delimited(path: Path) -> Iterator[Line]:
    try:
        with opened(path) as file:
            reader = csv.reader(file)
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    yield reader.line_num, cells
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise DataError(f"{path}: not a whole gzip file ({error}); copy it again") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the path and rights") from None
    except UnicodeDecodeError:
        raise DataError(f"{path}: not UTF-8 text; export the file as UTF-8") from None
    except csv.Error as error:
        raise DataError(
            f"{path}:{reader.line_num}: not delimited text ({error}); export the file again"
        ) from None


def _parquet(path: Path, wanted: Collection[str]) -> Iterator[Line]:
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            enough = wanted and set(wanted) <= set(names)
            chosen = [name for name in names if name in wanted] if enough else names
            yield 0, list(chosen)
            row = 0
            for batch in file.iter_batches(columns=chosen):
                for cells in zip(*map(as_text, batch.columns), strict=True):
                    row += 1
                    yield row, list(cells)
    except OSError as error:
        problem = error.strerror or "not a Parquet file, or damaged"
        raise DataError(f"{path}: cannot be read ({problem}); check the path and rights") from None
    except pa.ArrowException:
        raise DataError(
            f"{path}: not a Parquet file of plain columns, or damaged; export it again with a number, a "
            "word or a time in each cell"
        ) from None


def as_text(column: pa.Array) -> list[str]:
    """Write a Parquet column's cells as a CSV file would hold them (80 for 80.0)."""
    return [cell or "" for cell in column.cast(pa.string()).to_pylist()]
