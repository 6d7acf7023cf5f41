"""The tables of an eICU folder, read in blocks so that the full release fits into a hospital's memory.

Files are found and columns are matched without regard to case: the release writes `apacheApsVar.csv.gz` with
lower-case columns, exports of it write `patientUnitStayID` or capitals.
"""

import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from coordinator.errors import DataError
from sites.reading import Rejected

STAY: Final = "patientunitstayid"
BLOCK: Final = 200_000  # rows held at once
ENDINGS: Final = (".csv.gz", ".csv")
TABLES: Final = (
    "patient", "hospital", "apacheApsVar", "apachePredVar", "admissionDx", "diagnosis", "pastHistory",
    "treatment", "vitalAperiodic", "lab",
)  # fmt: skip
OPTIONAL: Final = ("hospital", "lab")  # the demo's public copies lack lab
Flags = npt.NDArray[np.bool_]


def file_of(folder: Path, table: str) -> Path | None:
    """Find a table's file, packed or not; None where there is none.

    Raises:
        DataError: the folder is none, or has the table twice.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: not a folder; expected one with eICU's tables (patient.csv.gz, ...)")
    wanted = {f"{table}{ending}".lower() for ending in ENDINGS}
    found = sorted(path for path in folder.iterdir() if path.name.lower() in wanted)
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise DataError(f"{folder}: the table {table} lies here twice ({names}); remove one")
    return found[0] if found else None


def check_tables(folder: Path) -> None:
    """Refuse a folder that lacks a table: its features would be missing without anybody being told.

    Raises:
        DataError: naming the tables.
    """
    absent = [name for name in TABLES if name not in OPTIONAL and file_of(folder, name) is None]
    if absent:
        needed = ", ".join(name for name in TABLES if name not in OPTIONAL)
        raise DataError(
            f"{folder}: no {', '.join(f'{name}.csv.gz' for name in absent)} (nor .csv); expected eICU's "
            f"tables {needed}; export a table without rows as its header alone"
        )


def blocks(folder: Path, table: str, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
    """Give a table in blocks of text, `None` where a cell is empty, with `file` and `row` (the header is 1).

    Columns are named in lower case. An absent table has no blocks.

    Raises:
        DataError: the file is damaged, or lacks a column.
    """
    path = file_of(folder, table)
    if path is None:
        return
    spelled = spelling(path, columns)
    wanted = list(spelled.values())
    for block in _blocks(path, usecols=wanted, keep_default_na=False, na_values=[""]):
        block = block[wanted].set_axis(list(spelled), axis=1)
        yield block.assign(file=path.name, row=block.index.to_numpy() + 2)


def number(cells: pd.Series, *, no_value: str | None = None) -> tuple[npt.NDArray[np.float64], Flags]:
    """Parse text to numbers (NaN where empty, or equal to `no_value`) and say which cells hold neither."""
    values = pd.to_numeric(cells, errors="coerce").to_numpy(dtype=np.float64)
    usable = np.abs(values) <= np.finfo(np.float32).max
    wrong = cells.notna().to_numpy(dtype=bool) & ~usable
    missing = ~usable if no_value is None else ~usable | (values == float(no_value))
    return np.where(missing, np.nan, values), wrong


def one_per_stay(
    folder: Path, table: str, columns: Sequence[str], stays: Sequence[str]
) -> tuple[pd.DataFrame, list[Rejected]]:
    """Read the rows of some stays, indexed by stay in their order; a stay without one has empty cells.

    Of a stay with several rows none is used, for nobody can know which is right.
    """
    wanted = frozenset(stays)
    parts = [block[block[STAY].isin(wanted)] for block in blocks(folder, table, (STAY, *columns))]
    frame = pd.concat(parts) if parts else pd.DataFrame(columns=[STAY, *columns, "file", "row"])
    repeated = frame[STAY].duplicated(keep=False).to_numpy(dtype=bool)
    rejected = [
        Rejected(file, int(row), f"{table}: the stay stands more than once")
        for file, row in zip(frame["file"][repeated], frame["row"][repeated], strict=True)
    ]
    return frame[~repeated].set_index(STAY).reindex(list(stays))[list(columns)], rejected


def spelling(path: Path, columns: Sequence[str]) -> dict[str, str]:
    """Map lower-case names of columns to the file's own spelling, in the order given.

    Raises:
        DataError: the file is damaged, lacks a column, or has it twice.
    """
    found = _header(path)
    spelled = {name: [own for own in found if own.strip().lower() == name] for name in columns}
    if wrong := [name for name, own in spelled.items() if len(own) != 1]:
        raise DataError(
            f"{path}:1: expected each of the columns {', '.join(columns)} once, in any case; not so: "
            f"{', '.join(wrong)}; found {', '.join(found[:8])}, ...; export the table again"
        )
    return {name: own[0] for name, own in spelled.items()}


def _header(path: Path) -> list[str]:
    for block in _blocks(path, nrows=1):
        return list(block)
    return []


def _blocks(path: Path, **options: Any) -> Iterator[pd.DataFrame]:
    try:
        with pd.read_csv(path, dtype=str, chunksize=BLOCK, **options) as reader:
            yield from reader
    except (OSError, ValueError, EOFError, zlib.error) as error:  # damaged, rows of other widths, empty
        problem = str(error).splitlines()[0]
        raise DataError(f"{path}: not a readable table ({problem}); export it again") from None
