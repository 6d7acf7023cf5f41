"""Prepared records and agreed statistics to what a model reads: normalised float32 arrays per role."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from coordinator.errors import DataError
from coordinator.statistics import columns, indicated
from sites import prepared
from sites.prepared import Prepared
from sites.split import validation_rows

ROLES: Final = ("train", "validation", "test", "auxiliary")
Integers = npt.NDArray[np.int64]
Inputs = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Records:
    """One role's records of one site, in record order.

    `inputs` float32 (n, features) or (n, 1, height, width), `labels` float32 (n,) of 0 and 1, `record` and
    `patient` int64 (n,), numbers within the site.
    """

    site: str
    inputs: Inputs
    labels: npt.NDArray[np.float32]
    record: Integers
    patient: Integers


def load(
    folder: Path, statistics: Mapping[str, Any], seed: int, validation: float, missing: str
) -> dict[str, Records]:
    """Load a prepared folder as `Records` by role (`ROLES`).

    Args: `validation` is the share of development patients held out, `missing` the study's rule
    (`impute` or `quarantine`).

    Raises:
        DataError: the folder is not prepared, or does not fit the statistics.
    """
    ready = prepared.read(folder)
    inputs = (
        _image_inputs(ready, statistics)
        if ready.images is not None
        else _table_inputs(ready, statistics, missing)
    )
    if list(inputs.shape[1:]) != list(statistics["input_shape"]):
        raise DataError(
            f"{folder}: inputs of shape {list(inputs.shape[1:])}, the agreed statistics say "
            f"{list(statistics['input_shape'])}; prepare all sites with the same study and agree again"
        )
    roles = row_roles(ready, seed, validation)
    return {role: _chosen(ready, inputs, np.flatnonzero(roles == role)) for role in ROLES}


def row_roles(ready: Prepared, seed: int, validation: float) -> npt.NDArray[np.str_]:
    """Name every record's role under a run's seed (n,): development becomes train and validation."""
    patients, labels = (ready.frame[name].to_numpy(dtype=np.int64) for name in ("patient", "label"))
    roles = ready.frame["role"].to_numpy(dtype="<U11")
    development = np.flatnonzero(roles == "development")
    held_out = validation_rows(
        patients[development], labels[development], validation, seed, ready.summary.site
    )
    roles[development] = np.where(held_out, "validation", "train")
    return roles


def _chosen(ready: Prepared, inputs: Inputs, rows: Integers) -> Records:
    frame = ready.frame.iloc[rows]
    return Records(
        site=ready.summary.site,
        inputs=np.ascontiguousarray(inputs[rows]),
        labels=frame["label"].to_numpy(dtype=np.float32),
        record=frame["record"].to_numpy(dtype=np.int64),
        patient=frame["patient"].to_numpy(dtype=np.int64),
    )


def _image_inputs(ready: Prepared, statistics: Mapping[str, Any]) -> Inputs:
    (intensity,) = statistics["numeric"]
    mean, std = np.float32(intensity["mean"]), np.float32(intensity["std"])
    return (np.asarray(ready.images) - mean) / std


def _table_inputs(ready: Prepared, statistics: Mapping[str, Any], missing: str) -> Inputs:
    """Normalise numbers (mean where missing), flag the missing, one-hot the words (an unknown one: zeros)."""
    frame = ready.frame
    _check_features(ready, statistics)
    if missing == "quarantine" and frame.isna().any(axis=None):
        raise DataError(
            f"site '{ready.summary.site}': records with missing values, prepared under another rule"
        )
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
    return table


def _equals(words: pd.Series, level: str) -> npt.NDArray[np.bool_]:
    return (words == level).fillna(False).to_numpy(dtype=bool)


def _check_features(ready: Prepared, statistics: Mapping[str, Any]) -> None:
    for kind in ("numeric", "categorical"):
        found = [feature.name for feature in ready.summary.features if feature.kind == kind]
        expected = [feature["name"] for feature in statistics[kind]]
        if found != expected:
            raise DataError(
                f"site '{ready.summary.site}': {kind} features {found}, the agreed statistics have "
                f"{expected}; prepare all sites with the same study and agree again"
            )
