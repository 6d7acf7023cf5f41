"""MEDS events to one row of features per label: what happened until the prediction, and nothing later."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from meds import birth_code

from coordinator.config import Events
from sites.datasets import meds_files
from sites.reading import Feature

DAYS_OF_A_YEAR = 365.25
SEXES = {"f": "female", "female": "female", "m": "male", "male": "male"}


class Known(NamedTuple):
    """What is known of each label by its time of prediction.

    `events` has label (its row), code, value (NaN: none) and hours from the prediction (at most 0; NaN:
    static), in the order of time, static first. `subjects` are all that stand in the data.
    """

    events: pd.DataFrame
    subjects: frozenset[int]


def features(chosen: Events) -> tuple[Feature, ...]:
    """List the inputs in the order of the study."""
    found = [Feature(name="age", kind="numeric", low=0, high=120)] if chosen.age else []
    found += [_number(name, chosen) for name in chosen.last]
    for name in chosen.numbers:
        for what in chosen.summaries:
            named = f"{name}_{what}"
            found.append(
                Feature(name=named, kind="numeric") if what == "count" else _number(name, chosen, named)
            )
    found += [Feature(name=name, kind="categorical") for name in (*chosen.words, *chosen.flags)]
    return tuple(found)


def variables(chosen: Events) -> tuple[Feature, ...]:
    """List a series' variables."""
    return tuple(_number(name, chosen) for name in chosen.numbers)


def known(folder: Path, labels: pd.DataFrame, chosen: Events) -> Known:
    """Read the events of the chosen codes that may be used for each label (`subject_id`, `prediction_time`).

    Raises:
        DataError: a file is damaged or does not conform.
    """
    starts = _starts(chosen)
    ahead = labels[["subject_id", "prediction_time"]].assign(label=np.arange(len(labels)))
    parts, subjects = [], set[int]()
    for path in meds_files.shards(folder):
        for table in meds_files.events(path):
            subjects.update(pc.unique(table["subject_id"]).to_pylist())
            kept = table.filter(meds_files.beginning(table["code"].combine_chunks(), starts))
            parts.append(_in_window(kept, ahead, chosen.window_hours))
    found = pd.concat(parts, ignore_index=True)
    # at one minute the largest value is the last, whatever the file's order
    found = found.sort_values(["label", "hours", "code", "value"], na_position="first", kind="stable")
    return Known(found.reset_index(drop=True), frozenset(subjects))


def table(events: pd.DataFrame, labels: pd.DataFrame, chosen: Events) -> pd.DataFrame:
    """Make the features of each label, in its order; numbers outside the limits count as not measured."""
    rows = range(len(labels))
    frame = pd.DataFrame(index=rows)
    if chosen.age:
        frame["age"] = _age(events, labels)
    for name, code in chosen.last.items():
        frame[name] = _of(events, code, chosen.limits.get(name))["value"].last().reindex(rows)
    for name, code in chosen.numbers.items():
        groups = _of(events, code, chosen.limits.get(name))["value"]
        for what in chosen.summaries:
            frame[f"{name}_{what}"] = groups.agg(what).reindex(rows).astype(np.float64)
        if "count" in chosen.summaries:
            frame[f"{name}_count"] = frame[f"{name}_count"].fillna(0.0)
    for name, prefix in chosen.words.items():
        own = events[events["code"].str.startswith(prefix)]
        words = own["code"].str.slice(len(prefix)).groupby(own["label"]).last().reindex(rows).astype(object)
        frame[name] = words.where(words.notna(), None)
    for name, prefixes in chosen.flags.items():
        hit = events.loc[events["code"].str.startswith(prefixes), "label"].unique()
        frame[name] = np.where(np.isin(rows, hit), "yes", "no").astype(object)
    if "sex" in frame:
        frame["sex"] = [SEXES.get(str(word).lower()) for word in frame["sex"]]
    return frame


def latest(events: pd.DataFrame, chosen: Events) -> dict[str, float]:
    """Say when the last event of each input was, in hours from the prediction."""
    found: dict[str, float] = {}
    exact = {**chosen.last, **chosen.numbers}
    ends = events.groupby("code")["hours"].max().dropna()
    for name, starts in {**exact, **chosen.words, **chosen.flags}.items():
        own = ends[ends.index == starts] if name in exact else ends[ends.index.str.startswith(starts)]
        if len(own):
            inputs = [f"{name}_{what}" for what in chosen.summaries] if name in chosen.numbers else [name]
            found |= dict.fromkeys(inputs, float(own.max()))
    return found


def outside(events: pd.DataFrame, chosen: Events) -> dict[str, int]:
    """Count the values outside their limits."""
    found = {}
    for name, (low, high) in chosen.limits.items():
        values = events.loc[events["code"] == {**chosen.last, **chosen.numbers}[name], "value"]
        found[name] = int(((values < low) | (values > high)).sum())
    return {name: count for name, count in found.items() if count}


def _starts(chosen: Events) -> list[str]:
    prefixes = [prefix for each in chosen.flags.values() for prefix in each]
    born = [birth_code] if chosen.age else []
    return [*born, *chosen.last.values(), *chosen.numbers.values(), *chosen.words.values(), *prefixes]


def _in_window(found: pa.Table, ahead: pd.DataFrame, hours: float | None) -> pd.DataFrame:
    """Pair events with the labels of their subject, and keep what is static or lies in the window."""
    frame = found.to_pandas().rename(columns={"numeric_value": "value"})
    pairs = frame.merge(ahead, on="subject_id")
    since = (pairs["time"] - pairs["prediction_time"]) / pd.Timedelta(hours=1)
    first = -np.inf if hours is None else -hours
    born = pairs["code"] == birth_code  # not an event to forget
    kept = since.isna() | ((since <= 0) & ((since >= first) | born))
    pairs = pairs.assign(hours=since.astype(np.float64), value=pairs["value"].astype(np.float64))
    return pairs.loc[kept, ["label", "code", "value", "hours"]]


def _of(
    events: pd.DataFrame, code: str, limits: tuple[float, float] | None
) -> "pd.core.groupby.DataFrameGroupBy":
    own = events[(events["code"] == code) & np.isfinite(events["value"])]
    if limits is not None:
        own = own[own["value"].between(*limits)]
    return own.groupby("label")


def _age(events: pd.DataFrame, labels: pd.DataFrame) -> npt.NDArray[np.float64]:
    born = events[(events["code"] == birth_code)].groupby("label")["hours"].min()
    years: pd.Series = -born / 24 / DAYS_OF_A_YEAR
    return years.reindex(range(len(labels))).to_numpy(dtype=np.float64)


def _number(name: str, chosen: Events, named: str | None = None) -> Feature:
    limits: Mapping[str, tuple[float, float]] = chosen.limits
    low, high = limits.get(name, (None, None))
    return Feature(name=named or name, kind="numeric", low=low, high=high)
