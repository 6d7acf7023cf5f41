"""New records to what a finished model reads: a prepared folder, or raw files through the study's loader.

The run's statistics normalise both. Each role of a prepared folder is a group of its own, scored in the
batches that the run scored it in, so that its test records get the run's own predictions, bit for bit.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from coordinator import specs
from coordinator.errors import ConfigError
from coordinator.specs import Preparation, Run
from sites import quarantine
from sites.prepare import prepare_with_ids
from sites.records import Records, by_role, load


class Group(NamedTuple):
    """Records that are scored together, and what each is called in the output."""

    ids: npt.NDArray[Any]
    records: Records


def from_prepared(folder: Path, run: Run, statistics: Mapping[str, Any]) -> list[Group]:
    """Read a prepared folder; a record is called by its number there.

    Raises:
        DataError: it is no such folder, or not prepared as the run's records were.
    """
    found = load(folder, statistics, run.seed, run.validation, run.missing).values()
    return [Group(records.record, records) for records in found if len(records.labels)]


def from_raw(path: Path, spec: Path, run: Run, statistics: Mapping[str, Any]) -> list[Group]:
    """Prepare raw files as the spec says; a record has the hospital's own id.

    What cannot be used is counted on standard error, by reason, and gets no prediction.

    Raises:
        ConfigError: the spec treats missing values otherwise than the run's records were.
        DataError: the files cannot be used, or have other features.
    """
    preparation = specs.read(Preparation, spec)
    if preparation.data.missing != run.missing:
        raise ConfigError(
            f"{spec}: prepares with missing: {preparation.data.missing}, the run with {run.missing}"
        )
    # nobody is trained on here: all are for testing, however few
    everyone = preparation.model_copy(update={"held_out": True, "min_patients": 1})
    ready, ids, rejected = prepare_with_ids(everyone, path, new=True)
    for reason, count in quarantine.counts(rejected).items():
        print(f"{path}: no prediction for {count} records: {reason}", file=sys.stderr)
    found = by_role(ready, statistics, run.seed, run.validation, run.missing)["test"]
    return [Group(np.asarray(ids, dtype=object), found)]
