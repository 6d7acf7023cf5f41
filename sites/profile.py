"""A site's rows of the cohort table: every variable over its patients, and nothing about a few of them."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pandas as pd

from coordinator.config import Data
from coordinator.loaders import classes_of
from sites.cells import few_differ, hidden, usual
from sites.prepared import Profile
from sites.reading import Feature, Reading

MISSING, MEASURED = "missing", "n"


def profile(reading: Reading, frame: pd.DataFrame, min_cell: int) -> tuple[Profile, ...]:
    """Describe age, sex and every variable over a site's patients (the first record of each).

    A series' variable is described by each patient's mean. A cell is left out where it is of fewer than
    `min_cell` patients, or where the others and the number of patients would give it away.
    """
    first = ~frame["patient_id"].duplicated().to_numpy(dtype=bool)
    patients = frame.loc[first]
    found = [_described(each, patients[each.name], min_cell) for each in _columns(reading)]
    if reading.series is not None:
        grids = reading.series.values[patients["place"].to_numpy(dtype=np.int64)]
        for variable, values in _means(grids, reading.series.variables):
            described = _described(variable, pd.Series(values), min_cell)
            found.append(described.model_copy(update={"kind": "series"}))
    return tuple(found)


def of_classes(data: Data, frame: pd.DataFrame, min_cell: int) -> tuple[Profile, ...]:
    """Count each class's patients (by the first record of each) where there are more than two classes."""
    classes = classes_of(data)
    if not classes or data.columns is None:
        return ()
    first = frame.loc[~frame["patient_id"].duplicated().to_numpy(dtype=bool), "label"].astype(int)
    words = first.map(dict(enumerate(classes)))
    return (_words(data.columns.label, words, 0, min_cell),)


def _columns(reading: Reading) -> list[Feature]:
    """Put age and sex first; they are told of even where they are no input."""
    features = {each.name: each for each in reading.features}
    first = []
    if reading.age:
        first.append(features.pop(reading.age, Feature(name=reading.age, kind="numeric")))
    if reading.sex:
        first.append(features.pop(reading.sex, Feature(name=reading.sex, kind="categorical")))
    return [*first, *features.values()]


def _means(
    grids: npt.NDArray[np.float32], variables: tuple[Feature, ...]
) -> Iterator[tuple[Feature, npt.NDArray[np.float64]]]:
    for place, variable in enumerate(variables):
        values = grids[:, :, place].astype(np.float64)
        seen = np.isfinite(values).sum(axis=1)
        sums = np.where(np.isfinite(values), values, 0).sum(axis=1)
        yield variable, np.divide(sums, seen, out=np.full(len(sums), np.nan), where=seen > 0)


def _described(feature: Feature, values: pd.Series, min_cell: int) -> Profile:
    missing = int(values.isna().sum())
    return (_numbers if feature.kind == "numeric" else _words)(feature.name, values, missing, min_cell)


def _numbers(name: str, values: pd.Series, missing: int, min_cell: int) -> Profile:
    known = values.dropna().to_numpy(dtype=np.float64)
    cells = {MEASURED: len(known), MISSING: missing}
    told = _counts(name, "numeric", cells, hidden(cells, min_cell), min_cell)
    differing = int((known != usual([known])[0]).sum())
    few = bool(few_differ(np.array([len(known)]), np.array([differing]), min_cell)[0])
    if few or MEASURED in told.small or len(known) < 2:
        return told
    mean, std = float(known.mean()), float(known.std(ddof=1))
    return told.model_copy(update={"mean": mean, "std": std})


def _words(name: str, values: pd.Series, missing: int, min_cell: int) -> Profile:
    counts = {f"level {level}": int(count) for level, count in values.value_counts().sort_index().items()}
    cells = {**counts, MISSING: missing}
    left_out = hidden(cells, min_cell)
    both = {MEASURED: sum(counts.values()), MISSING: missing}
    told = _counts(name, "categorical", both, left_out, min_cell)
    levels = {
        level.removeprefix("level "): None if level in left_out else count
        for level, count in counts.items()
        if count >= min_cell  # what a few have is not named
    }
    return told.model_copy(update={"levels": levels})


def _counts(name: str, kind: str, cells: dict[str, int], left_out: set[str], min_cell: int) -> Profile:
    """Tell how many have a value and how many lack one: both or neither, as their sum is known."""
    small = tuple(what for what, count in cells.items() if 0 < count < min_cell)
    if small or MISSING in left_out:
        return Profile(name=name, kind=kind, n=None, missing=None, small=small)
    return Profile(name=name, kind=kind, n=cells[MEASURED], missing=cells[MISSING])
