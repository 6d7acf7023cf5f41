"""The files of the hourly grids: where they lie, what they must hold, and how they are dealt to sites."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from coordinator.errors import DataError
from coordinator.specs import Deal
from sites.owners import owner, owners
from sites.reading import Rejected

TASKS: Final = {"mortality": "mortality24", "aki": "aki", "sepsis": "sepsis"}
GRIDS, STATIC, OUTCOMES = "dyn.parquet", "sta.parquet", "outc.parquet"
PATIENTS, HOSPITALS = "patient.csv.gz", "hospital.csv.gz"
WITHIN: Final = (".", "eicu_hourly", "eicu_demo")  # where under the path a file may lie
AFTER_ALL: Final = np.inf  # the hour of an outcome without one: it comes after the grid


@dataclass(frozen=True)
class Tables:
    """One task's files.

    `stays` has file, row, stay_id, patient_id (None where unknown), age, sex, height and weight; `grids`
    stay_id, hour, and the variables asked for; `outcomes` stay_id, hour and label (true or false).
    `rejected` are the outcomes of stays that do not exist.
    """

    stays: pd.DataFrame
    grids: pd.DataFrame
    outcomes: pd.DataFrame
    rejected: list[Rejected]


def read_tables(path: Path, outcome: str, variables: Sequence[str]) -> Tables:
    """Read one task's files.

    Raises:
        DataError: a file is missing, damaged, or lacks a column.
    """
    folder = _found(path, TASKS[outcome])
    stays = _parquet(folder / STATIC, ["stay_id", "age", "sex", "height", "weight"])
    patients = _csv(_found(path, PATIENTS), ["patientunitstayid", "uniquepid"]).drop_duplicates()
    known = patients.drop_duplicates("patientunitstayid").set_index("patientunitstayid")["uniquepid"]
    stays["patient_id"] = stays["stay_id"].map(known).astype(object)
    stays.insert(0, "file", f"{folder.name}/{STATIC}")
    stays.insert(1, "row", np.arange(1, len(stays) + 1))
    outcomes = _outcomes(folder / OUTCOMES)
    grids = _hourly(_parquet(folder / GRIDS, ["stay_id", "time", *variables]), folder / GRIDS)
    lost = np.flatnonzero(~outcomes["stay_id"].isin(stays["stay_id"]) & ~outcomes["stay_id"].duplicated())
    rejected = [Rejected(f"{folder.name}/{OUTCOMES}", int(row) + 1, "no such stay") for row in lost]
    return Tables(stays, grids, outcomes, rejected)


def deal_tables(spec: Deal, out: Path, outcome: str) -> None:
    """Write every site's own stays of one task as the same files.

    A stay without a patient or a hospital goes to the first site, where preparation puts it in quarantine;
    it must not vanish.
    """
    assert spec.path is not None  # coordinator.consistency
    root = Path(spec.path)
    patients = _with_names(root)
    taken, first = owners(spec.sites, spec.data.source), spec.sites[0].name
    at = {
        stay: owner(taken, names)
        for stay, names in zip(patients["patientunitstayid"], patients["names"], strict=True)
    }
    folder = _found(root, TASKS[outcome])
    tables = {name: pd.read_parquet(folder / name) for name in (GRIDS, STATIC, OUTCOMES)}
    for site in spec.sites:
        own = out / site.name / folder.name
        own.mkdir(parents=True)
        for name, table in tables.items():
            mine = [at.get(stay, first) == site.name for stay in table["stay_id"]]
            table[mine].to_parquet(own / name, index=False)
        mine = [at[stay] == site.name for stay in patients["patientunitstayid"]]
        columns = ["patientunitstayid", "uniquepid", "hospitalid"]
        patients.loc[mine, columns].to_csv(out / site.name / PATIENTS, index=False)


def _with_names(root: Path) -> pd.DataFrame:
    """Read the patients, and what each one's hospital is called: its number, its region."""
    patients = _csv(_found(root, PATIENTS), ["patientunitstayid", "uniquepid", "hospitalid"])
    hospitals = _csv(_found(root, HOSPITALS), ["hospitalid", "region"]).drop_duplicates("hospitalid")
    region = patients["hospitalid"].map(hospitals.set_index("hospitalid")["region"]).fillna("unknown")
    return patients.assign(names=list(zip(patients["hospitalid"].astype(str), region, strict=True)))


def _outcomes(path: Path) -> pd.DataFrame:
    found = _parquet(path, ["stay_id", "label"], ["time"])
    if not found["label"].isin([0, 1]).all():
        raise DataError(f"{path}: a label that is neither 0 (false) nor 1 (true); prepare the grids again")
    found["label"] = found["label"].astype(bool)
    return _hourly(found, path) if "time" in found else found.assign(hour=AFTER_ALL)


def _hourly(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    if table["time"].dtype.kind != "m":
        raise DataError(f"{path}: column time is {table['time'].dtype}, expected a duration since admission")
    return table.drop(columns="time").assign(hour=table["time"].dt.total_seconds().to_numpy() / 3600)


def _found(path: Path, name: str) -> Path:
    for place in WITHIN:
        if (path / place / name).exists():
            return path / place / name
    raise DataError(
        f"{path}: no {name}, neither here nor in {' or '.join(WITHIN[1:])} below; "
        "config/studies/README.md says how the files are laid out"
    )


def _parquet(path: Path, columns: Sequence[str], optional: Sequence[str] = ()) -> pd.DataFrame:
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path}: no readable Parquet file ({str(error).splitlines()[0]}); copy it again"
        ) from None
    return _checked(table, path, columns, optional)


def _csv(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, dtype={"uniquepid": str, "region": str})
    except (OSError, ValueError, EOFError) as error:
        raise DataError(
            f"{path}: no readable CSV file ({str(error).splitlines()[0]}); copy it again"
        ) from None
    return _checked(table, path, columns)


def _checked(
    table: pd.DataFrame, path: Path, columns: Sequence[str], optional: Sequence[str] = ()
) -> pd.DataFrame:
    absent = [name for name in columns if name not in table]
    if absent:
        raise DataError(
            f"{path}: no column {', '.join(absent[:8])}; found {', '.join(map(str, table.columns[:8]))}, ..."
        )
    return table[[*columns, *(name for name in optional if name in table)]].copy()
