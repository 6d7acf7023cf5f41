"""One table of all sites' rows to a table per site, as each could have exported its own."""

import csv
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pyarrow.compute as pc
import pyarrow.parquet as pq

from coordinator.config import Columns, Site
from coordinator.errors import ConfigError, DataError
from coordinator.loaders import selection_of
from sites.lines import as_text, lines, opened
from sites.owners import owner, owners
from sites.tables import read_cells

Owner = Callable[[str], str | None]  # from a cell to the site whose row it is
Counts = Counter[str | None]


class Division(NamedTuple):
    """How many rows each site got, how many of a site outside the task were left out, who is at several."""

    rows: dict[str, int]
    left_out: int
    shared_patients: int


def divide_table(path: Path, columns: Columns, sites: Sequence[Site], source: str, out: Path) -> Division:
    """Write each site's rows, as they are, to `out`/SITE/ under the table's own name.

    A row is the site's whose selection for the source holds the word in its site column (case and spaces
    aside), else the one's that takes `*`, an empty word too. A row that nobody takes is of a hospital outside
    the task: left out, counted and printed. So are patients with rows at several sites, of whom no site could
    know: each keeps its rows, and such a patient can stand on two sides of the split.

    Raises:
        ConfigError: the study names no site column.
        DataError: the table cannot be read, has no such column, or a site gets no row.
    """
    if columns.site is None:
        raise ConfigError("no column says whose a row is; name it", key="data.columns.site")
    names = [site.name for site in sites]
    owner = owner_of(sites, source)
    found = divide_rows(path, columns.site, owner, names, out)
    _check(path, columns.site, sites, source, found)
    shared = patients_at_several(path, columns.patient, columns.site, owner)
    division = Division({name: found[name] for name in names}, found[None], shared)
    _warn(path, division)
    return division


def owner_of(sites: Sequence[Site], source: str) -> Owner:
    """Make the function that says whose a word of the site column is, None: nobody's.

    Raises:
        ConfigError: two sites take the same.
    """
    taken = owners(sites, source)
    # a code may have been exported as 1 or 1.0
    return lambda cell: owner(taken, [cell.strip(), cell.strip().removesuffix(".0")])


def patients_at_several(path: Path, patient: str, column: str, owner: Owner) -> int:
    """Count the patients who have rows at more than one site."""
    cells, _ = read_cells(path, list(dict.fromkeys([patient, column])))
    people = pd.DataFrame({"patient": cells[patient].str.strip(), "site": cells[column].map(owner)})
    sites = people[people["patient"] != ""].groupby("patient")["site"].nunique()
    return int((sites > 1).sum())


def divide_rows(path: Path, column: str, owner: Owner, names: Sequence[str], out: Path) -> Counts:
    """Write the rows by the owner of each one's cell in a column; counts them, nobody's under None.

    Raises:
        DataError: the table cannot be read, or has no such column.
    """
    for name in names:
        (out / name).mkdir(parents=True, exist_ok=True)
    divide = _parquet if path.suffix == ".parquet" else _delimited
    return divide(path, column, owner, {name: out / name / path.name for name in names})


def _delimited(path: Path, column: str, owner: Owner, files: dict[str, Path]) -> Counts:
    rows, counts = lines(path), Counts()
    header = next(rows, (0, []))[1]
    place = _place(path, column, header)
    with ExitStack() as stack:
        writers = {
            name: csv.writer(stack.enter_context(opened(file, "w")), lineterminator="\n")
            for name, file in files.items()
        }
        for writer in writers.values():
            writer.writerow(header)
        for _, cells in rows:
            # a row of too few fields is somebody's to quarantine where the site can be told
            name = owner(cells[place]) if place < len(cells) else None
            counts[name] += 1
            if name is not None:
                writers[name].writerow(cells)
    return counts


def _parquet(path: Path, column: str, owner: Owner, files: dict[str, Path]) -> Counts:
    header, counts = next(lines(path))[1], Counts()
    place = _place(path, column, header)
    with ExitStack() as stack:
        table = stack.enter_context(pq.ParquetFile(path))
        writers = {
            name: stack.enter_context(closing(pq.ParquetWriter(file, table.schema_arrow)))
            for name, file in files.items()
        }
        for batch in table.iter_batches():
            owners = [owner(cell) for cell in as_text(batch.column(place))]
            counts.update(owners)
            for name in {name for name in owners if name is not None}:
                writers[name].write_batch(batch.filter(pc.equal(owners, name)))
    return counts


def _place(path: Path, column: str, header: Sequence[str]) -> int:
    names = [name.strip() for name in header]
    if column not in names:
        raise DataError(
            f"{path}:1: no column '{column}' for the site; found {', '.join(names[:8])}"
            f"{', ...' if len(names) > 8 else ''}; correct data.columns.site"
        )
    return names.index(column)


def _check(path: Path, column: str, sites: Sequence[Site], source: str, found: Counts) -> None:
    for site in sites:
        if not found[site.name]:
            words = ", ".join(f"'{word}'" for word in selection_of(site, source))
            raise DataError(
                f"{path}: no row of site '{site.name}': '{column}' is never {words}; correct "
                f"`select: {{{source}: [...]}}` of the site, or leave it out of the task"
            )


def _warn(path: Path, found: Division) -> None:
    if found.left_out:
        total = sum(found.rows.values()) + found.left_out
        print(f"warning: {path.name}: {found.left_out} of {total} rows are of no site of the task")
    if found.shared_patients:
        print(
            f"warning: {path.name}: {found.shared_patients} patients have rows at several sites, and can be "
            "trained on at one and tested at another"
        )
