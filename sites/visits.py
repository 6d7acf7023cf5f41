"""How often each record's activations have left: which records a release holds follows from the schedule."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from coordinator.algorithms.cohort import Cohort
from coordinator.algorithms.training import EVALUATION_BATCH
from coordinator.epochs import Indices
from coordinator.errors import ConfigError
from coordinator.schedule import Batch, joint_round, round_of, site_round
from coordinator.specs import POOLED, Run
from coordinator.statistics import read_statistics

Slots = Indices | slice


class Visits:
    """One site's records in a run, and the times that each was released."""

    def __init__(self, run: Run, index: int, train: tuple[int, ...], validation: int, test: int) -> None:
        """Know of no release yet.

        Args:
            run: the resolved run.
            index: of the site.
            train: training records of each site.
            validation: records of this site for selection.
            test: records of this site for the final test.
        """
        self._run, self._index, self._train = run, index, train
        self._times = {
            "train": np.zeros(train[index], dtype=np.int64),
            "validation": np.zeros(validation, dtype=np.int64),
            "test": np.zeros(test, dtype=np.int64),
        }
        self._round: tuple[int, int] = (-1, -1)
        self._batches: dict[int, Indices] = {}
        self.most = 0

    def after(self, place: Sequence[int]) -> int:
        """Give how often the record that leaves most will have left, if this is released."""
        role, records = self._records(place)
        times = self._times[role][records]
        return max(self.most, int(times.max(initial=-1)) + 1)

    def add(self, place: Sequence[int]) -> None:
        """Count a release."""
        self.most = self.after(place)
        role, records = self._records(place)
        self._times[role][records] += 1

    def count(self, place: Sequence[int]) -> int:
        """Give how many records are released at a place, the largest batch that leaves there."""
        role, records = self._records(place)
        return len(self._times[role][records])

    def _records(self, place: Sequence[int]) -> tuple[str, Slots]:
        trial, round_, _, step = place
        if step < 0:
            start = (-1 - step) * EVALUATION_BATCH
            return "test" if trial < 0 else "validation", slice(start, start + EVALUATION_BATCH)
        if (trial, round_) != self._round:
            self._batches = {batch.step: batch.records for batch in self._batches_of(trial, round_)}
            self._round = (trial, round_)
        return "train", self._batches.get(step, np.zeros(0, dtype=np.int64))

    def _batches_of(self, trial: int, round_: int) -> list[Batch]:
        run, own = self._run, self._train[self._index]
        if round_ >= run.training.rounds:  # the epochs in which the final model is adapted
            return list(round_of(run, trial, round_, self._index, own, run.adapt))
        if run.back != "joint":
            return list(site_round(run, trial, round_, self._index, own))
        steps = joint_round(run, trial, round_, self._train)
        return [batch for step in steps for batch in step.batches if batch.site == self._index]


def visits_of(run: Run, cohort: Cohort, site: str) -> Visits | None:
    """Count a site's releases by record; the pool releases none."""
    if site == POOLED:
        return None
    index = run.sites.index(site)
    return Visits(run, index, cohort.train, cohort.validation[index], cohort.test[index])


def visits_from(run: Run, statistics: Path | None, site: str) -> Visits | None:
    """Count them by the agreed statistics, where these must be given.

    Raises:
        ConfigError: they are not.
    """
    if not statistics:
        raise ConfigError("--statistics: a run's gate needs the agreed statistics; name them")
    return visits_of(run, Cohort.of(read_statistics(statistics), run.sites), site)
