"""Rows that cannot be used: taken out with a reason, counted, listed, never dropped in silence."""

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from sites.reading import Rejected
from sites.tables import reject


def without_incomplete(frame: pd.DataFrame, names: Sequence[str]) -> tuple[pd.DataFrame, list[Rejected]]:
    """Take out the rows with a missing value; the reason names the first one."""
    return reject(frame, {f"{name}: missing": frame[name].isna().to_numpy() for name in names}, [])


def without_duplicates(frame: pd.DataFrame, names: Sequence[str]) -> tuple[pd.DataFrame, list[Rejected]]:
    """Keep one of several equal rows with one record id; of rows that contradict each other keep none.

    Nobody can know which of two contradicting rows is right, and the file's order must not decide.
    """
    contents = frame.groupby(["patient_id", "label", *names], dropna=False).ngroup()
    differs = contents.groupby(frame["record_id"]).transform("nunique") > 1
    problems = {
        "record id: stands again with other content": differs.to_numpy(),
        "record id: the same row again": frame["record_id"].duplicated().to_numpy(),
    }
    return reject(frame, problems, [])


def counts(rejected: Sequence[Rejected]) -> dict[str, int]:
    """Count by reason, in the alphabet's order."""
    return dict(sorted(Counter(entry.reason for entry in rejected).items()))


def write(path: Path, rejected: Sequence[Rejected]) -> None:
    """List what was rejected: file, row (0: the whole file), reason."""
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([Rejected._fields, *sorted(rejected)])
