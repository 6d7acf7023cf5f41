"""Prepared records and agreed statistics to what a model reads, made as it is asked for.

A table is small and is normalised once. Series and images stay on disk, memory-mapped: only the records
of a batch are read, so that a site's data may be larger than its memory.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from coordinator.statistics import columns, indicated
from sites.prepared import PRESENT, Array, Prepared

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


# rows of one modality: (rows,) int64 to float32 (rows, ...)
Gives = Callable[[Integers], Floats]


class Inputs(NamedTuple):
    """What a model reads of some records: one modality, or several by name with which are `present`.

    `gives` has a function per modality over all the site's records, `rows` are those meant here.
    """

    gives: Mapping[str, Gives]
    rows: Integers

    def of(self, rows: Integers) -> "Inputs":
        """Choose records by their numbers in the site."""
        return self._replace(rows=rows)

    def arrays(self, records: Integers | slice) -> dict[str, Floats]:
        """Give the inputs of some of the chosen records, (records, ...) each."""
        rows = self.rows[records]
        return {name: give(rows) for name, give in self.gives.items()}


def normalised(ready: Prepared, statistics: Mapping[str, Any]) -> Inputs:
    """Make a site's inputs, in the order of its records.

    A table's numbers are normalised (the mean where missing), flags say which were missing, words become
    one column each (an unknown one: zeros). A series is normalised, its last value carried forward, with
    as many columns again that say what was measured. Pixels are normalised by channel.
    """
    gives: dict[str, Gives] = {}
    for modality in ready.summary.modalities:
        gives[modality] = _MAKERS[modality](ready, statistics)
    if len(gives) > 1:
        gives["present"] = _in_memory(_present(ready))
    return Inputs(gives, np.arange(len(ready.frame)))


def _table(ready: Prepared, statistics: Mapping[str, Any]) -> Gives:
    frame = ready.frame
    values = {
        feature["name"]: (frame[feature["name"]].to_numpy(dtype=np.float64) - feature["mean"])
        / feature["std"]
        for feature in statistics["numeric"]
    }
    numeric = [np.where(np.isfinite(column), column, 0.0) for column in values.values()]
    flags = [np.isnan(values[name]) for name in indicated(statistics)]
    words = [
        _equals(frame[feature["name"]], level)
        for feature in statistics["categorical"]
        for level in feature["levels"]
    ]
    table = np.empty((len(frame), len(columns(statistics))), dtype=np.float32)
    for place, column in enumerate([*numeric, *flags, *words]):
        table[:, place] = column
    return _in_memory(table)


def _series(ready: Prepared, statistics: Mapping[str, Any]) -> Gives:
    assert ready.series is not None
    mean, std = _moments(statistics["series"])
    grids: Array = ready.series

    def give(rows: Integers) -> Floats:
        values = (np.asarray(grids[rows]) - mean) / std  # (rows, steps, variables)
        measured = np.isfinite(values)
        steps = np.arange(values.shape[1])[:, None]
        last = np.maximum.accumulate(np.where(measured, steps, 0), axis=1)
        carried = np.take_along_axis(values, last, axis=1)
        filled = np.where(np.isfinite(carried), carried, np.float32(0))
        return np.concatenate([filled, measured], axis=2, dtype=np.float32)

    return give


def _image(ready: Prepared, statistics: Mapping[str, Any]) -> Gives:
    assert ready.images is not None
    images, present = ready.images, ready.frame["with_image"].to_numpy(dtype=bool)
    mean, std = (each[:, None, None] for each in _moments(statistics["image"]))
    scale = np.float32(unit(images.dtype))

    def give(rows: Integers) -> Floats:
        pixels = np.asarray(images[rows], dtype=np.float32)
        pixels /= scale  # in place: a batch of large images should take its memory once
        pixels -= mean
        pixels /= std
        pixels[~present[rows]] = 0
        return pixels

    return give


_MAKERS: Mapping[str, Callable[[Prepared, Mapping[str, Any]], Gives]] = {
    "table": _table,
    "series": _series,
    "image": _image,
}


def unit(dtype: np.dtype[Any]) -> int:
    """Say by what stored pixels are divided to lie between 0 and 1."""
    return 255 if dtype == np.uint8 else 1


def _present(ready: Prepared) -> Floats:
    flags = [
        ready.frame[PRESENT[modality]].to_numpy(dtype=bool)
        if modality in PRESENT
        else np.ones(len(ready.frame), dtype=bool)
        for modality in ready.summary.modalities
    ]
    return np.stack(flags, axis=1).astype(np.float32)


def _in_memory(table: Floats) -> Gives:
    def give(rows: Integers) -> Floats:
        chosen: Floats = table[rows]
        return chosen

    return give


def _moments(found: list[dict[str, Any]]) -> tuple[Floats, Floats]:
    mean, std = (np.array([each[what] for each in found], dtype=np.float32) for what in ("mean", "std"))
    return mean, std


def _equals(words: pd.Series, level: str) -> npt.NDArray[np.bool_]:
    return (words == level).fillna(False).to_numpy(dtype=bool)
