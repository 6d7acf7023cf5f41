"""The results folder in memory: CSV rows that remember where they stand."""

import csv
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

TABLES: Final = (
    "comparison.csv", "differences.csv", "costs.csv", "privacy.csv", "variants.csv", "figures/summary.csv",
    "figures/effects.csv", "figures/spent.csv", "figures/reasons.csv", "figures/roc.csv",
    "figures/calibration.csv", "figures/learning.csv", "figures/chosen.csv", "figures/cohort.csv",
    "figures/quarantine.csv", "figures/warnings.csv", "figures/table1.csv", "figures/shift.csv",
    "figures/precision_recall.csv", "figures/decision.csv", "figures/power.csv", "figures/secondary.csv",
    "figures/target.csv", "figures/units.csv",
    "figures/outside.csv", "figures/suppressed.csv", "figures/uncounted.csv", "figures/attacks.csv",
    "figures/private.csv", "figures/frontier.csv", "figures/gallery.csv",
    "figures/interruptions.csv", "figures/subgroups.csv", "figures/network.csv", "figures/per_site.csv",
    "figures/sweeps.csv", "figures/classes.csv",
)  # fmt: skip


class MissingFile(Exception):
    """A file that the evaluation writes is not there, or is not what it writes."""


@dataclass(frozen=True)
class Row:
    """One line of a CSV file; ``number`` counts from 0 below the header."""

    file: str
    number: int
    cells: dict[str, str]

    def __getitem__(self, column: str) -> str:
        """Give a cell's text."""
        return self.cells[column]


@dataclass(frozen=True)
class Results:
    """Every table of a study, and where the numbers come from."""

    tables: dict[str, list[Row]]
    provenance: dict[str, Any]
    labels: dict[str, list[str]] = field(default_factory=dict)

    @property
    def federated(self) -> bool:
        """Say whether the study was compared from the sites' estimates alone."""
        return bool(self.provenance["config"]["evaluation"] == "federated")

    @property
    def whole(self) -> str:
        """Name the place whose AUROC is the study's."""
        return "stratified" if self.federated else "all"

    @property
    def primary(self) -> str:
        """Name the difference on which verdicts are."""
        return "auroc_stratified" if self.federated else "auroc"

    def classes(self, task: str) -> list[str]:
        """Name the classes of a task's outcome where there are more than two."""
        return distinct(self.rows("figures/classes.csv", task=task), "class")

    def area(self, task: str) -> str:
        """Name a task's primary metric."""
        return "mean one-vs-rest AUROC" if self.classes(task) else "AUROC"

    def rows(self, table: str, **where: str) -> list[Row]:
        """Give a table's rows, those that match."""
        found = self.tables[table]
        return [row for row in found if all(row[column] == value for column, value in where.items())]

    def row(self, table: str, **where: str) -> Row | None:
        """Give the first row that matches."""
        return next(iter(self.rows(table, **where)), None)


def read_results(folder: Path) -> Results:
    """Read all tables.

    Raises:
        MissingFile: one is missing or unreadable.
    """
    try:
        provenance = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
        return Results({name: _read(folder, name) for name in TABLES}, provenance)
    except OSError as error:
        raise MissingFile(
            f"{error.filename}: cannot be read ({error.strerror}); evaluate the study first"
        ) from None
    except ValueError as error:
        raise MissingFile(f"{folder}: a file is damaged ({error}); evaluate the study again") from None


def distinct(rows: Iterable[Row], column: str) -> list[str]:
    """List a column's values in the order they first appear."""
    return list(dict.fromkeys(row[column] for row in rows))


def _read(folder: Path, name: str) -> list[Row]:
    with (folder / name).open(encoding="utf-8", newline="") as file:
        return [Row(name, number, cells) for number, cells in enumerate(csv.DictReader(file))]
