"""Delimited text to typed columns; a row that breaks a rule is rejected with its reason, never dropped."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from coordinator.errors import DataError
from sites.reading import Rejected

MISSING = frozenset({"", "?", "na", "n/a", "nan", "null", "none"})
Flags = npt.NDArray[np.bool_]


def read_cells(
    path: Path, columns: Sequence[str], *, header: bool = True
) -> tuple[pd.DataFrame, list[Rejected]]:
    """Read the named columns as text, with `file` and `row` (the line, as an editor counts).

    Without a header the columns are taken in order. Further columns are ignored.

    Raises:
        DataError: the file is missing, empty, not text, or lacks a column.
    """
    rows = list(_lines(path))
    if not rows:
        raise DataError(f"{path}: the file is empty; expected rows with {', '.join(columns[:4])}, ...")
    names = list(columns)
    if header:
        names = [name.strip() for name in rows.pop(0)[1]]
        _check_header(path, names, columns)
    if not rows:
        raise DataError(f"{path}: the file holds a header and no rows; export the records again")
    reason = f"not {len(names)} fields in the row"
    rejected = [Rejected(path.name, line, reason) for line, cells in rows if len(cells) != len(names)]
    kept = [(line, cells) for line, cells in rows if len(cells) == len(names)]
    frame = pd.DataFrame([cells for _, cells in kept], columns=names, dtype=object)[list(columns)]
    frame.insert(0, "file", path.name)
    frame.insert(1, "row", [line for line, _ in kept])
    return frame, rejected


def numbers(cells: pd.Series) -> tuple[npt.NDArray[np.float64], Flags]:
    """Parse numbers; returns the values (NaN missing) and which cells hold something else."""
    text = _clean(cells)
    missing = text.isin(MISSING).to_numpy(dtype=bool)
    values = pd.to_numeric(text.mask(missing), errors="coerce").to_numpy(dtype=np.float64)
    return np.where(np.isfinite(values), values, np.nan), ~missing & ~np.isfinite(values)


def choices(cells: pd.Series, known: Mapping[str, object]) -> tuple[npt.NDArray[np.object_], Flags]:
    """Look words or codes up (1.0 is the code 1); returns the meanings (None missing) and the unknown."""
    text = _clean(cells).str.removesuffix(".0")
    missing = text.isin(MISSING).to_numpy(dtype=bool)
    found = np.array([known.get(word) for word in text], dtype=object)
    return found, ~missing & np.array([word not in known for word in text], dtype=bool)


def reject(
    frame: pd.DataFrame, problems: Mapping[str, Flags], rejected: list[Rejected]
) -> tuple[pd.DataFrame, list[Rejected]]:
    """Take the rows with a problem out; a row with several is counted under the first.

    `problems` maps a reason to one flag per row.
    """
    reasons: list[str | None] = [None] * len(frame)
    for reason, flags in problems.items():
        for index in np.flatnonzero(flags):
            reasons[index] = reasons[index] or reason
    found = [
        Rejected(file, int(row), reason)
        for file, row, reason in zip(frame["file"], frame["row"], reasons, strict=True)
        if reason is not None
    ]
    kept = np.array([reason is None for reason in reasons], dtype=bool)
    return frame[kept].reset_index(drop=True), [*rejected, *found]


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    yield reader.line_num, cells
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the path and rights") from None
    except UnicodeDecodeError:
        raise DataError(f"{path}: not UTF-8 text; export the file as UTF-8") from None
    except csv.Error as error:
        raise DataError(
            f"{path}:{reader.line_num}: not delimited text ({error}); export the file again"
        ) from None


def _check_header(path: Path, names: Sequence[str], columns: Sequence[str]) -> None:
    absent = [name for name in columns if name not in names]
    if absent:
        raise DataError(
            f"{path}:1: missing column {', '.join(absent)}; found {', '.join(names[:8])}"
            f"{', ...' if len(names) > 8 else ''}; add the column, or correct the separator (a comma)"
        )
    repeated = [name for name in columns if names.count(name) > 1]
    if repeated:
        raise DataError(f"{path}:1: column {', '.join(repeated)} stands twice; remove one")


def _clean(cells: pd.Series) -> pd.Series:
    return cells.astype(str).str.strip().str.lower()
