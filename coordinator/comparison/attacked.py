"""What the audits found, and how far each attack was validated."""

import csv
from pathlib import Path
from typing import Final

from coordinator.attacks.catalog import ATTACKS
from coordinator.comparison.estimates import Rows
from coordinator.comparison.tables import COLUMNS
from coordinator.errors import ConfigError, DataError
from coordinator.specs import Evaluation

GALLERY: Final = "figures/gallery.csv"


def attack_rows(spec: Evaluation, results: Path) -> Rows:
    """Read the rows of every audit of the study, in the runs' order.

    Raises:
        ConfigError: an audit is missing.
        DataError: a table is not as described.
    """
    if spec.study.audit == "none":
        return []
    audits = dict.fromkeys((run.task, run.seed) for run in spec.runs.values())
    return [
        row for task, seed in audits for row in _read(results / "audit" / task / str(seed) / "privacy.csv")
    ]


def gallery_rows(spec: Evaluation, results: Path) -> Rows:
    """Read the images that audits may show, of the first seed; nothing where the study shows none.

    Raises:
        DataError: a table is not as described.
    """
    if not spec.study.gallery:
        return []
    seed = min(run.seed for run in spec.runs.values())
    paths = [results / "audit" / task / str(seed) / GALLERY for task in spec.study.tasks]
    return [row for path in paths if path.exists() for row in _rows_of(path, GALLERY)]


def catalog_rows() -> Rows:
    """List every attack: what it reads, where it is from, how far it was validated, and of which targets."""
    return [
        {
            "attack": name,
            "reads": attack.reads,
            "source": attack.source,
            "validation": attack.validation,
            "holds_for": "|".join(attack.holds_for),
            "but_for": attack.but_for,
        }
        for name, attack in ATTACKS.items()
    ]


def _read(path: Path) -> Rows:
    try:
        rows = _rows_of(path, "privacy.csv")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); run snakemake to make it") from None
    if {row["attack"] for row in rows} - set(ATTACKS):
        raise DataError(f"{path}: not a table of attacks; remove it, and run snakemake again")
    return rows


def _rows_of(path: Path, name: str) -> Rows:
    with path.open(encoding="utf-8", newline="") as file:
        table = csv.DictReader(file)
        rows: Rows = list(table)
    if table.fieldnames != COLUMNS[name].split(","):
        raise DataError(f"{path}: not a table of attacks; remove it, and run snakemake again")
    return rows
