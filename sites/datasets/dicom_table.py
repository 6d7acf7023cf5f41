"""Which row of a folder's table each DICOM file belongs to."""

from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

from coordinator.config import Columns
from coordinator.errors import DataError
from sites.columns import read_columns, table_file
from sites.imaging import Header, read_header
from sites.lines import ENDINGS, lines
from sites.pictures import words
from sites.reading import Rejected
from sites.tables import read_cells

PATIENT, AGE, SEX = IN_HEADER = ("PatientID", "PatientAge", "PatientSex")
Row = dict[str, Any]


class Match(NamedTuple):
    """A file (None: there is none), its header, and its row as `read_columns` gives it."""

    name: str | None
    header: Header | None
    row: Row


class _Table(NamedTuple):
    rows: list[Row]
    word: str  # the image column
    at: dict[str, list[int]]  # what a row may call an image: the rows that do
    bad: set[str]  # words of rows that are rejected already


def table_in(folder: Path) -> Path | None:
    """Give the folder's one table, None where there is none.

    Raises:
        DataError: there are several.
    """
    if any(each.name.endswith(ENDINGS) for each in folder.iterdir()):
        return table_file(folder)
    return None


def matched(folder: Path, source: Path | None, columns: Columns) -> tuple[list[Match], list[Rejected]]:
    """Read the table and every file's header, and give each file its row; a row without a file comes last.

    Raises:
        DataError: the table cannot be used as a whole.
    """
    if source is None:
        names = files_in(folder, None)
        return [], [Rejected(name, 0, "no label: the folder has no table of them") for name in names]
    table, rejected = _read(source, columns)
    found, used, by_name = list[Match](), set[int](), defaultdict[int, list[Match]](list)
    for name in files_in(folder, source):
        called = {place for word in words(name) for place in table.at.get(word, ())}
        try:
            header = read_header(folder / name, named=False)
        except DataError as reason:
            rejected.append(Rejected(name, 0, str(reason)))
            used |= called
            continue
        ids = {place for word in (header.record_id, header.series) for place in table.at.get(word, ())}
        rows = sorted(called | ids)
        used |= set(rows)
        if len(rows) == 1:
            match = Match(name, header, table.rows[rows[0]])
            (by_name[rows[0]] if called else found).append(match)
        elif rows:
            rejected.append(Rejected(name, 0, f"{table.word}: named in several rows"))
        elif not table.bad & {*words(name), header.record_id, header.series}:
            rejected.append(Rejected(name, 0, f"no row in {source.name}"))
    for matches in by_name.values():
        found += matches if len(matches) == 1 else []
        several = f"{table.word}: several files of this name"
        rejected += [Rejected(str(match.name), 0, several) for match in matches[1:] and matches]
    found.sort(key=lambda match: str(match.name))
    left = [Match(None, None, row) for place, row in enumerate(table.rows) if place not in used]
    return [*found, *left], rejected


def _read(source: Path, columns: Columns) -> tuple[_Table, list[Rejected]]:
    image = str(columns.image)
    known = without_header_columns(columns, source)
    frame, _, rejected = read_columns(source, known)
    if known.patient == PATIENT:
        frame[PATIENT] = frame["patient_id"]  # the table's own, which goes before the header's
    rows = frame.to_dict("records")
    at = defaultdict[str, list[int]](list)
    for place, row in enumerate(rows):
        if isinstance(row[image], str):
            at[plain_word(row[image])].append(place)
    cells, _ = read_cells(source, [image])
    return _Table(rows, image, dict(at), set(cells[image].map(plain_word)) - set(at)), rejected


def without_header_columns(columns: Columns, source: Path) -> Columns:
    """Leave out what the table does not have and a DICOM header does (a row is then its own patient)."""
    _, header = next(lines(source), (0, []))
    absent = set(IN_HEADER) - {name.strip() for name in header}
    return columns.model_copy(
        update={
            "patient": columns.image if columns.patient in absent else columns.patient,
            "numeric": tuple(name for name in columns.numeric if name not in absent),
            "categorical": tuple(name for name in columns.categorical if name not in absent),
            "age": None if columns.age in absent else columns.age,
            "sex": None if columns.sex in absent else columns.sex,
        }
    )


def plain_word(word: object) -> str:
    """Write what a table calls an image one way."""
    return str(word).strip().removeprefix("./")


def files_in(folder: Path, source: Path | None) -> list[str]:
    """List the files below a folder but for its table."""
    every = (path for path in folder.rglob("*") if path.is_file() and path != source)
    return sorted(path.relative_to(folder).as_posix() for path in every)
