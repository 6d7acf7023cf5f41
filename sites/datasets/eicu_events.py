"""eICU's tables of events to one row of features per stay; nothing after the time of prediction enters.

Only numbers in the window between `EARLIEST_MINUTES` and the time of prediction are kept of each block, so a
table of any size is read in the memory of its stays' first day.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from sites.datasets.clinical_limits import LIMITS
from sites.datasets.eicu_features import ADMISSION_PATH, ADMISSION_WORDS, EARLIEST_MINUTES, SUMMARIES, Limits
from sites.datasets.eicu_tables import STAY, blocks, number
from sites.reading import Rejected


class Window(NamedTuple):
    """The stays that are predicted, and the last minute after admission to the unit that may be used."""

    folder: Path
    stays: tuple[str, ...]
    until: float


class Found(NamedTuple):
    """Features indexed by stay, and how they were found.

    `last` is the minute of the last event used (None: none was), `outside` counts impossible values.
    """

    frame: pd.DataFrame
    last: float | None
    rejected: list[Rejected]
    outside: dict[str, int] = {}  # noqa: RUF012


def flags(window: Window, table: str, time: str, code: str, prefixes: Mapping[str, Sequence[str]]) -> Found:
    """Say per stay and flag, yes or no, whether an event's code begins with one of its prefixes."""
    events, rejected = _events(window, table, time, (code,))
    codes = events[code].fillna("").str.lower()
    frame = pd.DataFrame(index=list(window.stays))
    for name, starts in prefixes.items():
        hit = codes.str.startswith(tuple(start.lower() for start in starts))
        frame[name] = np.where(frame.index.isin(events.loc[hit, STAY]), "yes", "no")
    return Found(frame.astype(object), _last(events), rejected)


def admission(window: Window) -> Found:
    """Take each stay's last admission diagnosis apart: operative or not, and the organ system."""
    events, rejected = _events(window, "admissionDx", "admitdxenteredoffset", ("admitdxpath",))
    parts = admission_parts(events["admitdxpath"])
    chosen = parts.notna().any(axis=1)
    events = events[chosen].sort_values(["minute", "admitdxpath"]).drop_duplicates(STAY, keep="last")
    frame = parts.loc[events.index].set_index(events[STAY]).reindex(list(window.stays)).astype(object)
    return Found(frame.where(frame.notna(), None), _last(events), rejected)


def admission_parts(paths: pd.Series) -> pd.DataFrame:
    """Split paths of admissionDx into `ADMISSION_WORDS`; a path that names no diagnosis has none."""
    named = paths.fillna("").str.lower().str.startswith(ADMISSION_PATH.lower())
    # kind | Diagnosis | system | ...
    below = paths[named].str.slice(len(ADMISSION_PATH)).str.split("|", n=3, expand=True)
    parts = below.reindex(columns=[0, 2]).set_axis(list(ADMISSION_WORDS), axis=1)
    return parts.reindex(paths.index)


def measured(window: Window, table: str, time: str, columns: Mapping[str, Limits]) -> Found:
    """Summarise columns of numbers per stay; a number outside its limits counts as not measured."""
    events, rejected = _events(window, table, time, tuple(columns))
    parts, outside = [pd.DataFrame(index=list(window.stays))], dict[str, int]()
    for name, limits in columns.items():
        values, wrong = number(events[name])
        rejected += _refused(events[wrong], f"{table}.{name}: not a number")
        part, outside[name] = _summary(events, values, limits, window.stays)
        parts.append(part.add_prefix(f"{name}_"))
    return Found(pd.concat(parts, axis=1), _last(events), rejected, outside)


def laboratory(window: Window, names: Mapping[str, str]) -> Found:
    """Summarise laboratory results per stay: `names` maps a key of LIMITS to what the table calls it."""
    events, rejected = _events(window, "lab", "labresultoffset", ("labname", "labresult"), names.values())
    values, wrong = number(events["labresult"])
    rejected += _refused(events[wrong], "lab.labresult: not a number")
    words = events["labname"].str.strip().str.lower()
    parts, outside = [pd.DataFrame(index=list(window.stays))], dict[str, int]()
    for name, word in names.items():
        own = (words == word.lower()).to_numpy(dtype=bool)
        part, outside[f"lab_{name}"] = _summary(events[own], values[own], LIMITS[name], window.stays)
        parts.append(part.add_prefix(f"lab_{name}_"))
    return Found(pd.concat(parts, axis=1), _last(events), rejected, outside)


def _events(
    window: Window, table: str, time: str, columns: Sequence[str], words: Iterable[str] | None = None
) -> tuple[pd.DataFrame, list[Rejected]]:
    """Read the window's events, with `minute`; of `words`, only those that the first column says."""
    wanted, known = frozenset(window.stays), frozenset(word.lower() for word in words or ())
    parts, rejected = (
        [pd.DataFrame(columns=[STAY, time, *columns, "file", "row", "minute"])],
        list[Rejected](),
    )
    for block in blocks(window.folder, table, (STAY, time, *columns)):
        block = block[block[STAY].isin(wanted)]
        if words is not None:
            block = block[block[columns[0]].str.strip().str.lower().isin(known)]
        minutes, _ = number(block[time])
        # an event without a time may have happened after the prediction
        rejected += _refused(block[np.isnan(minutes)], f"{table}.{time}: missing or not a number")
        inside = (minutes >= EARLIEST_MINUTES) & (minutes <= window.until)
        parts.append(block[inside].assign(minute=minutes[inside]))
    filled = [part for part in parts[1:] if len(part)]
    return (pd.concat(filled, ignore_index=True) if filled else parts[0]), rejected


def _summary(
    events: pd.DataFrame, values: npt.NDArray[np.float64], limits: Limits, stays: Sequence[str]
) -> tuple[pd.DataFrame, int]:
    """Summarise one variable per stay; returns also how many values were outside its limits."""
    usable = (values >= limits[0]) & (values <= limits[1])
    kept = pd.DataFrame({"stay": events[STAY], "minute": events["minute"], "value": values})[usable]
    # of several numbers at one minute the largest is the last, whatever the file's order
    kept = kept.sort_values(["minute", "value"], kind="stable")
    found = kept.groupby("stay")["value"].agg(list(SUMMARIES)).reindex(list(stays))
    return found.astype(np.float64), int((np.isfinite(values) & ~usable).sum())


def _refused(events: pd.DataFrame, reason: str) -> list[Rejected]:
    return [Rejected(file, int(row), reason) for file, row in zip(events["file"], events["row"], strict=True)]


def _last(events: pd.DataFrame) -> float | None:
    return float(events["minute"].max()) if len(events) else None
