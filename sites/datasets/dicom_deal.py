"""One folder of DICOM files and its table to a folder per site, as each could have exported its own."""

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from coordinator.config import Columns
from coordinator.specs import Deal
from sites.datasets.dicom_table import PATIENT, Match, files_in, plain_word, without_header_columns
from sites.divide import divide_rows, divide_table
from sites.partition import partition
from sites.pictures import words
from sites.tables import read_cells


def by_site(spec: Deal, columns: Columns, source: Path, found: Sequence[Match], out: Path) -> None:
    """Divide by the table's site column; a file that no site's row names is left out, and counted."""
    known = without_header_columns(columns, source)
    divide_table(source, known, spec.sites, spec.data.source, out)
    sites: dict[str, str] = {}
    for site in spec.sites:
        cells, _ = read_cells(out / site.name / source.name, [str(columns.image)])
        sites |= dict.fromkeys(cells[str(columns.image)].map(plain_word), site.name)
    if left := _give(source, found, sites, None, out):
        print(f"warning: {source.parent.name}: {left} files are named by no row of a site of the task")


def by_patient(spec: Deal, columns: Columns, source: Path, found: Sequence[Match], out: Path) -> None:
    """Deal patients as the partition says; rows and files that cannot be used go to the first site."""
    names = [site.name for site in spec.sites]
    rows = pd.DataFrame(
        {
            "word": [plain_word(row[str(columns.image)]) for _, _, row in found],
            "patient": [_patient(match, columns) for match in found],
            "label": [int(row["label"]) for _, _, row in found],
        }
    )
    people = rows.groupby("patient")["label"].max()
    outcomes = people.to_numpy(dtype=np.int64)
    hands = partition(outcomes, names, spec.data.partition, spec.seed, spec.data.source)
    site_of = {people.index[patient]: site for site, hand in hands.items() for patient in hand}
    sites = {word: site_of[patient] for word, patient in zip(rows["word"], rows["patient"], strict=True)}
    divide_rows(source, str(columns.image), lambda cell: sites.get(plain_word(cell), names[0]), names, out)
    _give(source, found, sites, names[0], out)


def _patient(match: Match, columns: Columns) -> str:
    if match.header is None or columns.patient != PATIENT or PATIENT in match.row:
        return str(match.row["patient_id"])
    return match.header.patient_id or match.header.study


def _give(source: Path, found: Sequence[Match], sites: Mapping[str, str], rest: str | None, out: Path) -> int:
    """Place each file with the row that names it, else at `rest`; returns how many went nowhere."""
    ids = {name: (header.record_id, header.series) for name, header, _ in found if header is not None}
    left = 0
    for name in files_in(source.parent, source):
        takers = (sites.get(word) for word in (*words(name), *ids.get(name, ())))
        site = next((taker for taker in takers if taker is not None), rest)
        if site is None:
            left += 1
        else:
            _place(source.parent / name, out / site / name)
    return left


def _place(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(path, target)  # the same file under another name, where one disk holds both
    except OSError:
        shutil.copyfile(path, target)
