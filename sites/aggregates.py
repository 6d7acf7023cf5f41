"""A site's training rows as aggregates: what it tells the others about its data, and nothing below a cell."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from coordinator.statistics import Aggregates
from sites import prepared
from sites.prepared import Prepared
from sites.records import row_roles

Floats = npt.NDArray[np.float64]


def aggregate(folder: Path, seed: int, validation: float, min_cell: int) -> Aggregates:
    """Aggregate the training rows of a prepared folder under the run's seed.

    A category, or a feature, seen in fewer than `min_cell` rows is left out and counted as suppressed:
    the mean of one value is that value.

    Raises:
        DataError: the folder does not hold prepared records.
    """
    ready = prepared.read(folder)
    roles = row_roles(ready, seed, validation)
    counts = {role: int((roles == role).sum()) for role in ("train", "validation", "test", "auxiliary")}
    counts["train_events"] = int(ready.frame["label"].to_numpy()[roles == "train"].sum())
    if ready.images is not None:
        return _of_images(ready.images, np.flatnonzero(roles == "train"), counts)
    return _of_table(ready, ready.frame[roles == "train"], counts, min_cell)


def _of_table(ready: Prepared, training: pd.DataFrame, counts: dict[str, int], min_cell: int) -> Aggregates:
    numeric = [feature.name for feature in ready.summary.features if feature.kind == "numeric"]
    categorical = [feature.name for feature in ready.summary.features if feature.kind == "categorical"]
    values = training[numeric].to_numpy(dtype=np.float64, copy=True)
    present = np.isfinite(values).sum(axis=0)
    rare = (present > 0) & (present < min_cell)
    values[:, rare] = np.nan  # as if never measured
    seen = {name: training[name].value_counts() for name in categorical}
    n, mean, m2 = _moments(values)
    return Aggregates(
        counts=counts,
        names=tuple(numeric),
        n=n,
        mean=mean,
        m2=m2,
        missing=len(training) - n,
        levels={
            name: {str(level): int(count) for level, count in sorted(found.items()) if count >= min_cell}
            for name, found in seen.items()
        },
        suppressed=int(rare.sum()) + sum(int((found < min_cell).sum()) for found in seen.values()),
    )


def _of_images(
    images: npt.NDArray[np.float32], training: npt.NDArray[np.int64], counts: dict[str, int]
) -> Aggregates:
    pixels = np.asarray(images[training], dtype=np.float64).reshape(-1, 1)
    n, mean, m2 = _moments(pixels)
    return Aggregates(
        counts=counts,
        names=("intensity",),
        n=n,
        mean=mean,
        m2=m2,
        missing=np.zeros(1, dtype=np.int64),
        shape=tuple(int(size) for size in images.shape[1:]),
    )


def _moments(values: Floats) -> tuple[npt.NDArray[np.int64], Floats, Floats]:
    present = np.isfinite(values)
    n = present.sum(axis=0).astype(np.int64)
    mean = np.where(present, values, 0).sum(axis=0) / np.maximum(n, 1)
    m2 = (np.where(present, values - mean, 0) ** 2).sum(axis=0)
    return n, mean, m2
