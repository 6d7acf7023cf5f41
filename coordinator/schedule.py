"""The schedule is data: the list of items a strategy walks, a pure function of the run and seed.

The coordinator and every site compute the same list. An item's place in it, not the time at which
something arrives, decides what is drawn and in which order parts are updated.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from coordinator.draws import key
from coordinator.protocol.messages import Position
from coordinator.specs import Run

Indices = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, slots=True)
class Begin:
    """Start a trial of the learning-rate grid: models and optimizers anew."""

    trial: int
    learning_rate: float


@dataclass(frozen=True, slots=True)
class Batch:
    """One step on some records of one site."""

    trial: int
    round: int
    site: int
    step: int
    records: Indices

    @property
    def position(self) -> Position:
        """Where the step stands: (trial, round, site, step)."""
        return (self.trial, self.round, self.site, self.step)

    @property
    def draw(self) -> tuple[int, int, int]:
        """What keys the step's draws: every trial of the grid draws alike."""
        return (self.round, self.site, self.step)


@dataclass(frozen=True, slots=True)
class HandOn:
    """One site's parts travel to others; the optimizer's state to those who train next."""

    trial: int
    round: int
    giver: int
    takers: tuple[int, ...]
    optimizer: bool


@dataclass(frozen=True, slots=True)
class LocalRound:
    """Every party trains on its own records, all at once."""

    trial: int
    round: int


@dataclass(frozen=True, slots=True)
class Validate:
    """All sites' validation records are scored; the best model so far is kept."""

    trial: int
    round: int


Item = Begin | Batch | HandOn | LocalRound | Validate


def epoch(run: Run, round_: int, site: int, pass_: int, records: int) -> list[Indices]:
    """Shuffle a site's records and cut them into batches; the last may be smaller."""
    draws = np.random.default_rng(key(run.seed, "shuffle", round_, site, pass_))
    order = draws.permutation(records)
    return [
        order[start : start + run.training.batch_size] for start in range(0, records, run.training.batch_size)
    ]


def site_round(run: Run, trial: int, round_: int, site: int, records: int) -> Iterator[Batch]:
    """Give a site's batches of a round: its local epochs, one after the other."""
    batches = (
        batch
        for pass_ in range(run.training.local_epochs)
        for batch in epoch(run, round_, site, pass_, records)
    )
    for step, batch in enumerate(batches):
        yield Batch(trial, round_, site, step, batch)


def sequential_round(run: Run, trial: int, round_: int, records: tuple[int, ...]) -> Iterator[Batch]:
    """Give all sites' batches of a round, a site's whole turn before the next's (turn: client)."""
    for site, count in enumerate(records):
        yield from site_round(run, trial, round_, site, count)


def schedule(run: Run, records: tuple[int, ...]) -> Iterator[Item]:
    """Give a run's items in order.

    Args:
        run: the resolved run.
        records: training records of each hospital, in site order.
    """
    for trial, learning_rate in enumerate(run.training.learning_rates):
        yield Begin(trial, learning_rate)
        for round_ in range(run.training.rounds):
            if run.algorithm == "split":
                yield from _split_round(run, trial, round_, records)
            else:
                yield LocalRound(trial, round_)
            yield Validate(trial, round_)


def _split_round(run: Run, trial: int, round_: int, records: tuple[int, ...]) -> Iterator[Item]:
    last = len(records) - 1
    for site, count in enumerate(records):
        yield from site_round(run, trial, round_, site, count)
        if site < last:
            yield HandOn(trial, round_, site, (site + 1,), optimizer=True)
    if last:
        if round_ + 1 < run.training.rounds:
            yield HandOn(trial, round_, last, (0,), optimizer=True)
            others = tuple(range(1, last))
        else:
            others = tuple(range(last))
        if others:
            yield HandOn(trial, round_, last, others, optimizer=False)


def steps_in(run: Run, records: tuple[int, ...]) -> int:
    """Count the steps of all hospitals' turns over the whole schedule."""
    size = run.training.batch_size
    if run.preset == "centralized" and run.batches == "shuffled":
        records = (sum(records),)
    per_pass = sum(-(-count // size) for count in records)
    return per_pass * run.training.local_epochs * run.training.rounds * len(run.training.learning_rates)
