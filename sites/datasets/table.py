"""Any table of one row per record: the study's `data.columns` says what its columns mean.

CSV, CSV.gz or Parquet. Where one table holds all sites' rows, it is divided by its site column; without one,
patients are dealt as `data.partition` says.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from coordinator.config import Columns, Data, Site
from coordinator.errors import ConfigError
from coordinator.specs import Deal
from sites.columns import known_as, latest, outcomes, read_columns, table_file
from sites.divide import divide_rows, divide_table
from sites.partition import partition
from sites.reading import Reading
from sites.tables import numbers, read_cells


def deal(spec: Deal, out: Path) -> None:
    """Write each site's rows of the one table to `out`/SITE/, by the site column or by the partition.

    Raises:
        ConfigError: the study does not say what the columns mean.
        DataError: the table cannot be read, or a site gets no row.
    """
    columns, path = _columns(spec.data), table_file(Path(str(spec.path)))
    if columns.site:
        divide_table(path, columns, spec.sites, spec.data.source, out)
        return
    hands = dealt_patients(path, spec)
    divide_rows(path, columns.patient, lambda cell: hands.get(cell.strip()), _names(spec), out)


def dealt_patients(path: Path, spec: Deal) -> dict[str, str]:
    """Deal a table's patients; gives each one's site.

    A patient has the outcome if one of their rows has it (of several classes: the last of them);
    `feature_skew` follows the patient's mean age, or the first number among the inputs where no column holds
    ages. A row without a patient goes where the
    draw puts "nobody", to be quarantined there.

    Raises:
        DataError: the table cannot be read, or has classes that the study does not name.
    """
    columns = _columns(spec.data)
    shift = columns.age or next(iter(columns.numeric), None)
    wanted = dict.fromkeys(name for name in (columns.patient, columns.label, shift) if name)
    cells, _ = read_cells(path, list(wanted))
    rows = pd.DataFrame(
        {
            "patient": cells[columns.patient].str.strip(),
            "outcome": known_as(outcomes(cells[columns.label], columns, path)),
            "shift": numbers(cells[shift])[0] if shift else np.nan,
        }
    )
    people = rows.groupby("patient").agg({"outcome": "max", "shift": "mean"})
    hands = partition(
        people["outcome"].to_numpy(dtype=np.int64), _names(spec), spec.data.partition, spec.seed,
        spec.data.source, shift=people["shift"].to_numpy() if shift else None,
    )  # fmt: skip
    return {people.index[patient]: site for site, hand in hands.items() for patient in hand}


def read(path: Path, data: Data, site: Site) -> Reading:
    """Parse one site's table, or the one table in a folder.

    Raises:
        ConfigError: the study does not say what the columns mean.
        DataError: the table cannot be used as a whole.
    """
    return _reading(path, data, known=True)


def read_new(path: Path, data: Data, site: Site) -> Reading:
    """Parse a table of records to be predicted, whose outcome nobody needs to know: all labels are 0.

    Raises:
        ConfigError: as `read`.
        DataError: as `read`.
    """
    return _reading(path, data, known=False)


def _reading(path: Path, data: Data, *, known: bool) -> Reading:
    columns = _columns(data)
    frame, features, rejected = read_columns(table_file(path), columns, known=known)
    return Reading(
        frame, features, rejected=rejected, age=columns.age, sex=columns.sex, latest=latest(frame, columns)
    )


def _columns(data: Data) -> Columns:
    if data.columns is None:
        raise ConfigError(f"'{data.source}' needs to know what its columns mean", key="data.columns")
    return data.columns


def _names(spec: Deal) -> list[str]:
    return [site.name for site in spec.sites]
