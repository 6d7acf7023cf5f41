"""A table's text to typed columns; a row that breaks a rule is rejected with its reason, never dropped."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from coordinator.errors import DataError
from sites.lines import lines
from sites.reading import Rejected

MISSING = frozenset({"", "?", "na", "n/a", "nan", "null", "none"})
Flags = npt.NDArray[np.bool_]


def read_cells(
    path: Path, columns: Sequence[str], *, header: bool = True
) -> tuple[pd.DataFrame, list[Rejected]]:
    """Read the named columns as text, with `file` and `row` (the line, as an editor counts).

    Without a header the columns are taken in order, and a row has just these. With one, further columns
    are ignored.

    Raises:
        DataError: the file is missing, empty, not text, lacks a column, has a header where none belongs or
            none where one does, or most of its rows have one and the same wrong number of fields.
    """
    rows = list(lines(path, columns if header else ()))
    if not rows:
        raise DataError(f"{path}: the file is empty; expected rows with {', '.join(columns[:4])}, ...")
    names = list(columns)
    if header:
        names = [name.strip() for name in rows.pop(0)[1]]
        _check_header(path, names, columns)
    elif _is_header(rows[0][1]):
        raise DataError(
            f"{path}:{rows[0][0]}: a line of words, as a header, where the first record should stand; this "
            f"file has no header: put its columns in the order {', '.join(columns)} and delete the line"
        )
    if not rows:
        raise DataError(f"{path}: the file holds a header and no rows; export the records again")
    _check_widths(path, rows, names)
    reason = f"not {len(names)} fields in the row"
    rejected = [Rejected(path.name, line, reason) for line, cells in rows if len(cells) != len(names)]
    kept = [(line, cells) for line, cells in rows if len(cells) == len(names)]
    frame = pd.DataFrame([cells for _, cells in kept], columns=names, dtype=object)[list(columns)]
    frame.insert(0, "file", path.name)
    frame.insert(1, "row", [line for line, _ in kept])
    return frame, rejected


def numbers(cells: pd.Series) -> tuple[npt.NDArray[np.float64], Flags]:
    """Parse numbers; returns the values (NaN missing) and which cells hold something else.

    A number too large for float32, in which the models compute, is something else too.
    """
    text = _clean(cells)
    missing = text.isin(MISSING).to_numpy(dtype=bool)
    values = pd.to_numeric(text.mask(missing), errors="coerce").to_numpy(dtype=np.float64)
    usable = np.abs(values) <= np.finfo(np.float32).max
    return np.where(usable, values, np.nan), ~missing & ~usable


def choices(cells: pd.Series, known: Mapping[str, object]) -> tuple[npt.NDArray[np.object_], Flags]:
    """Look words or codes up (1.0 is the code 1); returns the meanings (None missing) and the unknown."""
    text = plain_words(cells)
    missing = text.isin(MISSING).to_numpy(dtype=bool)
    found = np.array([known.get(word) for word in text], dtype=object)
    return found, ~missing & np.array([word not in known for word in text], dtype=bool)


def plain_words(cells: pd.Series) -> pd.Series:
    """Write words and codes one way: lower case, no space around them, 1.0 as 1."""
    return _clean(cells).str.removesuffix(".0")


def repeats(frame: pd.DataFrame, columns: Sequence[str]) -> Flags:
    """Find the rows that say what an earlier one says, however it is written (63 or 63.0, ? or nothing)."""
    return frame[list(columns)].apply(_plain).duplicated().to_numpy(dtype=bool)


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


def _check_header(path: Path, names: Sequence[str], columns: Sequence[str]) -> None:
    absent = [name for name in columns if name not in names]
    if absent and any(map(_is_number, names)):  # a record: its values belong in no message
        raise DataError(
            f"{path}:1: the first line holds numbers; expected a header with the columns {', '.join(columns)}"
        )
    if absent:
        raise DataError(
            f"{path}:1: missing column {', '.join(absent)}; found {', '.join(names[:8])}"
            f"{', ...' if len(names) > 8 else ''}; add the column, or correct the separator (a comma)"
        )
    repeated = [name for name in columns if names.count(name) > 1]
    if repeated:
        raise DataError(f"{path}:1: column {', '.join(repeated)} stands twice; remove one")


def _check_widths(path: Path, rows: Sequence[tuple[int, list[str]]], names: Sequence[str]) -> None:
    [(width, count)] = Counter(len(cells) for _, cells in rows).most_common(1)
    if width != len(names) and 2 * count > len(rows):
        raise DataError(
            f"{path}: {count} of {len(rows)} rows have {width} columns, expected {len(names)}, separated by "
            f"commas: {', '.join(names)}; export the file again with these"
        )


def _is_header(cells: Sequence[str]) -> bool:
    words = [cell for cell in cells if cell.strip().lower() not in MISSING]
    return len(words) > 1 and not any(map(_is_number, words))


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _plain(cells: pd.Series) -> pd.Series:
    text = _clean(cells)
    values = pd.Series(pd.to_numeric(text, errors="coerce"), index=text.index, dtype=np.float64)
    plain = text.mask(text.isin(MISSING), "?")
    return plain.where(~np.isfinite(values), (values + 0.0).astype(str))  # -0 is 0


def _clean(cells: pd.Series) -> pd.Series:
    return cells.astype(str).str.strip().str.lower()
