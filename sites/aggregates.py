"""A site's training rows as aggregates: what it tells the others about its data, and nothing below a cell.

A cell is counted in patients, not in values or rows: a monitor's thousand values may all be one patient's.
What is told as it is: how many training, validation and test records there are, by which sites are weighted;
and how many values a variable lacks, which with the records gives the n that weights its mean. Neither says
what anyone has. A variable that only a few patients have at all counts as missing for all. Which of the
empty bins the values in no bin lie in is not said. Runs with several seeds tell of several overlapping sets
of training patients: a patient in one and not in another is not protected by the size of the cells.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from coordinator.aggregates import Aggregates
from sites import prepared
from sites.cells import Tally, bin_of, few_differ, small, tally, usual
from sites.inputs import unit
from sites.prepared import Array, Prepared
from sites.reading import Feature
from sites.records import row_roles

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
BLOCK = 1 << 17  # numbers read at once
MOST_ROWS = 1 << 12  # in a block


class Block(NamedTuple):
    """Some patients' rows: whose they are (rows,), and their values (rows, values of a row, f)."""

    patient: Integers
    values: Floats


class Group(NamedTuple):
    """The variables of one modality: their names, their limits (f, 2), and blocks of their rows."""

    names: tuple[str, ...]
    limits: Floats
    blocks: Iterator[Block]


def aggregate(folder: Path, seed: int, validation: float, min_cell: int) -> Aggregates:
    """Aggregate the training rows of a prepared folder under the run's seed.

    A word, a histogram's bin, or a variable, with fewer than `min_cell` patients is left out and counted as
    suppressed. So is what a few patients have of a variable that is one and the same for all others
    (`sites.cells.few_differ`): they are told of as if they had that value too.

    Raises:
        DataError: the folder does not hold prepared records.
    """
    ready = prepared.read(folder)
    roles = row_roles(ready, seed, validation)
    training = np.flatnonzero(roles == "train")
    counts, unsaid = _counts(ready, roles, min_cell)
    levels, rare = _levels(ready, training, min_cell)
    parts = [_described(group, min_cell) for group in groups(ready, training)]
    joined = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("n", "mean", "m2", "missing", "limits", "histogram")
    }
    return Aggregates(
        counts=counts,
        names=tuple(name for part in parts for name in part.names),
        **joined,
        levels=levels,
        suppressed=unsaid + rare + sum(part.suppressed for part in parts),
        shapes=shapes_of(ready),
    )


def shapes_of(ready: Prepared) -> dict[str, tuple[int, ...]]:
    """Give the shape of one record's series (steps, variables) and image (channels, height, width)."""
    arrays = {"series": ready.series, "image": ready.images}
    found = {name: each.shape[1:] for name, each in arrays.items() if each is not None}
    return {"table": (), **found} if "table" in ready.summary.modalities else found


def groups(ready: Prepared, training: Integers) -> Iterator[Group]:
    """Give the numeric variables of the training rows, modality by modality, in blocks of rows."""
    patients = ready.frame["patient"].to_numpy(dtype=np.int64)
    training = training[np.argsort(patients[training], kind="stable")]
    numeric = tuple(feature for feature in ready.summary.features if feature.kind == "numeric")
    names = [feature.name for feature in numeric]
    table = ready.frame[names].to_numpy(dtype=np.float64)[:, None, :]
    rows = _blocks(table, patients, training) if names else iter(())
    yield Group(tuple(names), _limits(numeric), rows)
    if ready.series is not None and ready.summary.series is not None:
        variables = ready.summary.series.variables
        grids = _blocks(ready.series, patients, training)
        yield Group(tuple(f"series:{each.name}" for each in variables), _limits(variables), grids)
    if ready.images is not None:
        channels, scale = ready.images.shape[1], unit(ready.images.dtype)
        shown = training[ready.frame["with_image"].to_numpy(dtype=bool)[training]]
        pixels = (
            Block(patient, np.moveaxis(block, 1, -1).reshape(len(block), -1, channels) / scale)
            for patient, block in _blocks(ready.images, patients, shown)
        )
        whole = np.tile([0.0, 1.0], (channels, 1))
        yield Group(tuple(f"image:{channel}" for channel in range(channels)), whole, pixels)


def _blocks(array: Array, patients: Integers, rows: Integers) -> Iterator[Block]:
    """Read rows in blocks of whole patients, whose rows stand together."""
    if not len(rows):
        return
    size = min(MOST_ROWS, max(1, BLOCK // max(1, int(np.prod(array.shape[1:])))))
    first = np.diff(patients[rows], prepend=-1) != 0
    place = np.maximum.accumulate(np.where(first, np.arange(len(rows)), 0))  # of the patient's first row
    for some in np.split(rows, np.flatnonzero(np.diff(place // size)) + 1):
        yield Block(patients[some], np.asarray(array[some], dtype=np.float64))


def _limits(features: tuple[Feature, ...]) -> Floats:
    known = [(each.low, each.high) for each in features]
    pairs = [(low, high) if low is not None and high is not None else (np.nan, np.nan) for low, high in known]
    return np.array(pairs, dtype=np.float64).reshape(-1, 2)


def _described(group: Group, min_cell: int) -> Aggregates:
    total, common = _total(group)
    rare, few = small(total.patients, min_cell), few_differ(total.patients, total.differing, min_cell)
    few &= ~rare
    bins = small(total.holders, min_cell) & ~(rare | few)[:, None]
    histogram = np.where(bins | (rare | few)[:, None], 0, total.histogram)
    for i in np.flatnonzero(few & (group.limits[:, 0] < group.limits[:, 1])):
        histogram[i, bin_of(common[i], *group.limits[i])] = total.moments.n[i]
    return Aggregates(
        counts={},  # of the rows, not of a group's variables
        names=group.names,
        n=np.where(rare, 0, total.moments.n),
        mean=np.where(rare, 0, np.where(few, common, total.moments.mean)),
        m2=np.where(rare | few, 0, total.moments.m2),
        missing=total.missing + np.where(rare, total.moments.n, 0),
        limits=group.limits,
        histogram=histogram,
        suppressed=int(rare.sum() + few.sum() + bins.sum()),
    )


def _total(group: Group) -> tuple[Tally, Floats]:
    """Count all rows; also gives each variable's usual value (f,)."""
    width = len(group.names)
    total, common = Tally.of_none(width), np.full(width, np.nan)
    for patient, values in group.blocks:
        if np.isnan(common).any():  # the first block that measured a variable says what is usual
            flat = values.reshape(-1, width)
            common = np.where(np.isnan(common), usual([each[np.isfinite(each)] for each in flat.T]), common)
        total = total.plus(tally(patient, values, group.limits, common))
    return total, common


def _counts(ready: Prepared, roles: npt.NDArray[np.str_], min_cell: int) -> tuple[dict[str, int], int]:
    counts = {role: int((roles == role).sum()) for role in ("train", "validation", "test", "auxiliary")}
    if ready.summary.classes:
        return counts, 0
    training = ready.frame[roles == "train"]
    patients = [training.loc[training["label"] == label, "patient"].nunique() for label in (0, 1)]
    if small(np.array(patients), min_cell).any():
        return counts, 1
    return {**counts, "train_events": int(training["label"].sum())}, 0


def _levels(ready: Prepared, training: Integers, min_cell: int) -> tuple[dict[str, tuple[str, ...]], int]:
    frame = ready.frame.iloc[training]
    words = [feature.name for feature in ready.summary.features if feature.kind == "categorical"]
    seen = {name: frame.groupby(name, observed=True)["patient"].nunique() for name in words}
    levels = {
        name: tuple(str(level) for level, count in sorted(found.items()) if count >= min_cell)
        for name, found in seen.items()
    }
    return levels, sum(int((found < min_cell).sum()) for found in seen.values())
