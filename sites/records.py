"""A site's prepared records by role under a run's seed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from coordinator.errors import DataError
from sites import prepared
from sites.inputs import Inputs, normalised
from sites.prepared import Prepared
from sites.split import validation_rows
from sites.subgroups import Words, subgroups_of

ROLES: Final = ("train", "validation", "test", "auxiliary")
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Records:
    """One role's records of one site, in record order.

    `inputs` gives what a model reads of some of them, `labels` float32 (n,) of 0 and 1, `record` and
    `patient` int64 (n,), numbers within the site, `groups` sex and age band (n,) where they are known.
    """

    site: str
    inputs: Inputs
    labels: npt.NDArray[np.float32]
    record: Integers
    patient: Integers
    groups: Mapping[str, Words] = field(default_factory=dict)


def load(
    folder: Path, statistics: Mapping[str, Any], seed: int, validation: float, missing: str
) -> dict[str, Records]:
    """Load a prepared folder as `Records` by role (`ROLES`).

    Args: `validation` is the share of development patients held out, `missing` the study's rule
    (`impute` or `quarantine`).

    Raises:
        DataError: the folder is not prepared, or does not fit the statistics.
    """
    return by_role(prepared.read(folder), statistics, seed, validation, missing)


def by_role(
    ready: Prepared, statistics: Mapping[str, Any], seed: int, validation: float, missing: str
) -> dict[str, Records]:
    """Give prepared records by role; as `load`.

    Raises:
        DataError: they do not fit the statistics.
    """
    _check_features(ready, statistics)
    if missing == "quarantine" and ready.frame.isna().any(axis=None):
        raise DataError(
            f"site '{ready.summary.site}': records with missing values, prepared under another rule"
        )
    inputs, roles = normalised(ready, statistics), row_roles(ready, seed, validation)
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
        inputs=inputs.of(rows),
        labels=frame["label"].to_numpy(dtype=np.float32),
        record=frame["record"].to_numpy(dtype=np.int64),
        patient=frame["patient"].to_numpy(dtype=np.int64),
        groups={name: words[rows] for name, words in subgroups_of(ready).items()},
    )


def _check_features(ready: Prepared, statistics: Mapping[str, Any]) -> None:
    summary, shapes = ready.summary, statistics["input_shapes"]
    variables = summary.series.variables if summary.series else ()
    named = {
        "numeric": [feature.name for feature in summary.features if feature.kind == "numeric"],
        "categorical": [feature.name for feature in summary.features if feature.kind == "categorical"],
        "series": [variable.name for variable in variables],
    }
    kinds: list[tuple[str, list[Any], list[Any]]] = [
        (kind, found, [each["name"] for each in statistics[kind]]) for kind, found in named.items()
    ]
    kinds.append(("image", [*summary.image.shape] if summary.image else [], shapes.get("image", [])))
    for kind, found, expected in kinds:
        if found != expected:
            raise DataError(
                f"site '{summary.site}': {kind} features {found}, the agreed statistics have "
                f"{expected}; prepare all sites with the same study and agree again"
            )
