"""Reads a synthetic hospital's long tables: what happened when, in one vocabulary and one unit."""

from collections.abc import Set
from pathlib import Path

import numpy as np
import pandas as pd

from sites.datasets.network_codes import CONDITIONS, Measure, diagnoses, vocabulary
from sites.datasets.network_files import DIAGNOSIS_COLUMNS, MEASURE_COLUMNS
from sites.reading import Rejected, Series
from sites.tables import choices, numbers, read_cells, reject

Events = tuple[pd.DataFrame, list[Rejected]]


def measurements(path: Path, measures: tuple[Measure, ...], stays: Set[str], until: float) -> Events:
    """Read stay_id, hour, name and value of what was measured before `until` (hours); the rest is no input.

    Raises:
        DataError: the file cannot be used as a whole.
    """
    frame, rejected = read_cells(path, MEASURE_COLUMNS)
    frame["name"], unknown = choices(frame["test"], vocabulary(measures))
    ways = {f"{each.name} {unit.name}": (unit.scale, unit.offset) for each in measures for unit in each.units}
    found = [
        ways.get(f"{name} {unit.strip()}") for name, unit in zip(frame["name"], frame["unit"], strict=True)
    ]
    values, unreadable = numbers(frame["value"])
    scale, offset = np.array([way or (np.nan, np.nan) for way in found], dtype=np.float64).reshape(-1, 2).T
    frame["value"] = values * scale + offset
    problems = {
        "test: missing, or no word of the vocabulary": unknown | frame["name"].isna().to_numpy(),
        "unit: missing, or none of the test's": np.isnan(scale),
        "value: missing, or not a number": unreadable | np.isnan(values),
    }
    return _timed(frame, rejected, problems, stays, until)


def conditions(path: Path, stays: Set[str], until: float) -> Events:
    """Read stay_id, hour and name of the conditions that were known before `until` (hours).

    Raises:
        DataError: the file cannot be used as a whole.
    """
    frame, rejected = read_cells(path, DIAGNOSIS_COLUMNS)
    frame["name"], unknown = choices(frame["code"], diagnoses())
    problems = {"code: missing, or not in the vocabulary": unknown | frame["name"].isna().to_numpy()}
    frame, rejected = _timed(frame, rejected, problems, stays, until)
    return frame[frame["name"].isin(list(CONDITIONS))], rejected


def _timed(
    frame: pd.DataFrame,
    rejected: list[Rejected],
    problems: dict[str, np.ndarray],
    stays: Set[str],
    until: float,
) -> Events:
    frame["stay_id"] = frame["stay_id"].str.strip()
    frame["hour"], _ = numbers(frame["hour"])
    hours = frame["hour"].to_numpy()
    problems = {
        "stay_id: not in patients.csv": ~frame["stay_id"].isin(list(stays)).to_numpy(),
        "hour: missing, not a number, or before admission": ~(hours >= 0),
        **problems,
    }
    frame, rejected = reject(frame, problems, rejected)
    return frame[frame["hour"] < until].reset_index(drop=True), rejected


def last_values(events: pd.DataFrame, stays: pd.Series, measures: tuple[Measure, ...]) -> pd.DataFrame:
    """Give each stay's last value of each measure, NaN where there is none, in the stays' order."""
    last = events.sort_values("hour", kind="stable").groupby(["stay_id", "name"])["value"].last().unstack()
    names = [each.name for each in measures]
    return last.reindex(index=stays, columns=names).astype(np.float64).reset_index(drop=True)


def grid(
    events: pd.DataFrame, stays: pd.Series, measures: tuple[Measure, ...], until: float, step_hours: float
) -> Series:
    """Lay measurements on a grid, their mean where a step has several."""
    names, steps = [each.name for each in measures], int(np.ceil(until / step_hours))
    unique = pd.Index(stays.unique())  # a stay that stands in two rows is sorted out later
    shape = (len(unique), steps, len(names))
    row = unique.get_indexer(events["stay_id"])
    kept = events[row >= 0]
    place = (
        row[row >= 0],
        (kept["hour"].to_numpy() / step_hours).astype(np.int64),
        pd.Index(names).get_indexer(kept["name"]),
    )
    total, count = np.zeros(shape), np.zeros(shape)
    np.add.at(total, place, kept["value"].to_numpy())
    np.add.at(count, place, 1)
    values = np.divide(total, count, out=np.full(shape, np.nan), where=count > 0)
    values = values[unique.get_indexer(stays)].astype(np.float32)
    return Series(values, tuple(each.feature for each in measures), step_hours)


def lateness(events: pd.DataFrame, until: float) -> dict[str, float]:
    """Say per measure when its last value was recorded, in hours after `until` (below 0: before)."""
    found = events.groupby("name")["hour"].max() - until
    return {str(name): float(hours) for name, hours in found.items()}
