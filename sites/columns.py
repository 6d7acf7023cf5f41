"""A table whose columns the study explains: each row checked, named by file and line, or rejected."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from coordinator.config import Columns
from coordinator.errors import DataError
from sites.lines import ENDINGS, lines
from sites.reading import Feature, Rejected
from sites.tables import MISSING, Flags, numbers, plain_words, read_cells, reject
from sites.times import hours_after

SEXES = {"f": "female", "m": "male", "w": "female", "woman": "female", "man": "male"}
CLASS_ROWS: Final = 10  # a word of neither outcome in so many rows is a class; in fewer, a slip
SHOWN: Final = 6
Floats = npt.NDArray[np.float64]


def read_columns(
    path: Path, columns: Columns, *, known: bool = True
) -> tuple[pd.DataFrame, tuple[Feature, ...], list[Rejected]]:
    """Read one table as the study explains it: CSV, CSV.gz or Parquet, all through the same checks.

    The frame has `PLACE`, the features (float64; or words in lower case, null missing), and, under their own
    headers: age (float64 years), sex (female, male), the image's file name and the site (text, null missing;
    the site only where the file says it), and the columns of `times` as hours after the prediction.

    Args:
        path: the table.
        columns: what its columns mean.
        known: whether the outcome is; if not its column is not read, and all labels are 0.

    Raises:
        DataError: the file cannot be used as a whole.
    """
    raw, rejected = read_cells(path, needed(columns, path, known=known))
    frame, problems = _places(raw, columns, path, known=known)
    for name in columns.numeric:
        frame[name], flags = numbers(_without(raw[name], columns.missing))
        problems[f"{name}: not a number"] = flags
    for name in columns.categorical:
        frame[name] = _words(raw[name], columns.missing)
    _describe(frame, raw, columns)
    for feature, time in columns.times.items():
        assert columns.prediction_time is not None  # coordinator.consistency
        frame[time], flags = hours_after(raw, time, columns.prediction_time, path)
        problems[f"{feature}: no time of it or of the prediction"] = flags & frame[feature].notna().to_numpy(
            dtype=bool
        )
    frame, rejected = reject(frame, problems, rejected)
    return frame, features_of(columns), rejected


def features_of(columns: Columns) -> tuple[Feature, ...]:
    """List the inputs, numbers first, each with the limits that the study gives."""
    unlimited = (None, None)
    numeric = [
        Feature(name=name, kind="numeric", low=low, high=high)
        for name in columns.numeric
        for low, high in [columns.limits.get(name, unlimited)]
    ]
    return (*numeric, *(Feature(name=name, kind="categorical") for name in columns.categorical))


def latest(frame: pd.DataFrame, columns: Columns) -> dict[str, float]:
    """Say per input with a time how many hours after the prediction its last value was recorded."""
    found = {}
    for feature, time in columns.times.items():
        known = frame.loc[frame[feature].notna(), time]
        if len(known):
            found[feature] = float(known.max())
    return found


def table_file(path: Path) -> Path:
    """Give the table itself: the path, or the one table in a folder.

    Raises:
        DataError: the folder has none, or several.
    """
    if not path.is_dir():
        return path
    found = sorted(each for each in path.iterdir() if each.name.endswith(ENDINGS))
    if len(found) != 1:
        names = ", ".join(each.name for each in found[:4]) or "none"
        raise DataError(f"{path}: found {names}, expected one table ({', '.join(ENDINGS)}); name the file")
    return found[0]


def needed(columns: Columns, path: Path, *, known: bool = True) -> list[str]:
    """List the headers that a table must have, and the site's where it has that."""
    wanted = [
        columns.patient, columns.label if known else None, columns.record, columns.image,
        columns.age, columns.sex,
        *columns.numeric, *columns.categorical, *columns.times.values(),
        columns.prediction_time if columns.times else None,
    ]  # fmt: skip
    if columns.site:
        _, header = next(lines(path), (0, []))
        wanted.append(columns.site if columns.site in [name.strip() for name in header] else None)
    return list(dict.fromkeys(name for name in wanted if name))


def outcomes(cells: pd.Series, columns: Columns, source: Path) -> npt.NDArray[np.object_]:
    """Read the outcome: 1, 0, or a class's number; None where a cell has none of the study's words.

    Raises:
        DataError: a further word stands in so many rows of the source that it is a class, not a slip.
    """
    words = _numbered(columns)
    found = plain_words(cells)
    unnamed = found[~found.isin({*words, *MISSING, *plain_words(pd.Series(columns.missing, dtype=object))})]
    counts = unnamed.value_counts()
    if further := sorted(counts.index[counts >= CLASS_ROWS]):
        raise DataError(_further(source, columns, further))
    return np.array([words.get(word) for word in found], dtype=object)


def known_as(labels: npt.NDArray[np.object_]) -> npt.NDArray[np.int64]:
    """Give labels as numbers, 0 where there is none: who has a record is dealt before it is left out."""
    return np.array([label or 0 for label in labels], dtype=np.int64)


def _numbered(columns: Columns) -> dict[str, int]:
    if columns.classes:
        return {word: number for number, word in enumerate(plain_words(pd.Series(columns.classes)))}
    words: dict[str, int] = dict.fromkeys(plain_words(pd.Series(columns.positive)), 1)
    return words | dict.fromkeys(plain_words(pd.Series(columns.negative)), 0)


def _further(source: Path, columns: Columns, words: list[str]) -> str:
    shown = ", ".join(f"'{word}'" for word in words[:SHOWN]) + (", ..." if len(words) > SHOWN else "")
    if columns.classes:
        return (
            f"{source}: found {shown} in '{columns.label}' beside the classes "
            f"({', '.join(columns.classes)}). In the study's data.columns add each further word to classes, "
            "or to missing (its records are left out, and counted)"
        )
    return (
        f"{source}: found {shown} in '{columns.label}' beside positive ({', '.join(columns.positive)}) "
        f"and negative ({', '.join(columns.negative)}), expected two classes. In the study's data.columns "
        "add each further word to positive or to negative (one class against the rest), or to missing (its "
        "records are left out, and counted), or name all classes in classes instead of these two"
    )


def _places(
    raw: pd.DataFrame, columns: Columns, path: Path, *, known: bool
) -> tuple[pd.DataFrame, dict[str, Flags]]:
    patients = raw[columns.patient].str.strip()
    labels = outcomes(raw[columns.label], columns, path) if known else np.zeros(len(raw), dtype=object)
    named = raw[columns.record].str.strip() if columns.record else None
    frame = pd.DataFrame(
        {
            "file": raw["file"],
            "row": raw["row"],
            "record_id": named if named is not None else [f"{row:08d}" for row in raw["row"]],
            "patient_id": patients,
            "label": labels,
        }
    )
    problems = {
        f"{columns.patient}: empty, whose row is unknown": _empty(patients),
        f"{columns.label}: missing, or no word for an outcome or none": (
            frame["label"].isna().to_numpy(dtype=bool)
        ),
    }
    if named is not None:
        problems[f"{columns.record}: empty"] = _empty(named)
    return frame, problems


def _describe(frame: pd.DataFrame, raw: pd.DataFrame, columns: Columns) -> None:
    """Add what is no input unless the study says so: age, sex, image, site."""
    if columns.age and columns.age not in frame:
        frame[columns.age], _ = numbers(_without(raw[columns.age], columns.missing))
    if columns.sex:
        words = pd.Series(_words(raw[columns.sex], columns.missing), dtype=object)
        frame[columns.sex] = words.map(lambda word: SEXES.get(word, word)).where(words.notna(), None)
    for name in (columns.image, columns.site):
        if name and name in raw and name not in frame:
            cells = raw[name].str.strip()
            frame[name] = cells.where(~cells.str.lower().isin(MISSING), None)


def _without(cells: pd.Series, missing: Sequence[str]) -> pd.Series:
    """Blank the cells that hold a further word for a missing value, however a number is written."""
    codes = pd.Series(missing, dtype=object)
    words, values = set(plain_words(codes)), set(pd.to_numeric(codes, errors="coerce").dropna())
    found = plain_words(cells)
    return cells.mask(found.isin(words) | pd.to_numeric(found, errors="coerce").isin(values), "")


def _words(cells: pd.Series, missing: Sequence[str]) -> npt.NDArray[np.object_]:
    found = plain_words(_without(cells, missing))
    return found.where(~found.isin(MISSING), None).to_numpy(dtype=object)


def _empty(cells: pd.Series) -> Flags:
    return cells.str.lower().isin(MISSING).to_numpy(dtype=bool)
