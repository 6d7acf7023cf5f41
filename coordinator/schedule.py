"""The schedule is data: the list of items a strategy walks, a pure function of the run and seed.

The coordinator and every site compute the same list. An item's place in it, not the time at which
something arrives, decides what is drawn and in which order parts are updated.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from coordinator.draws import key
from coordinator.epochs import Indices, batches_in, epoch, shuffle
from coordinator.participation import epochs_of, participants
from coordinator.protocol.messages import Position
from coordinator.specs import Run


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
class JointBatch:
    """One step on some records of all sites together; a site without any left sits out."""

    trial: int
    round: int
    step: int
    batches: tuple[Batch, ...]

    @property
    def draw(self) -> tuple[int, int, int]:
        """What keys the draws of the coordinator's layers, which see all sites' records: those of a pool."""
        return (self.round, 0, self.step)


@dataclass(frozen=True, slots=True)
class HandOn:
    """One site's parts travel to others; the optimizer's state to those who train next."""

    trial: int
    round: int
    giver: int
    takers: tuple[int, ...]
    optimizer: bool


@dataclass(frozen=True, slots=True)
class Average:
    """What is averaged at a round's end, over the sites that took part, is averaged."""

    trial: int
    round: int
    sites: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class LocalRound:
    """Every site that takes part trains on its own records, all at once."""

    trial: int
    round: int
    sites: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Validate:
    """All sites' validation records are scored; the best model so far is kept."""

    trial: int
    round: int


Item = Begin | Batch | JointBatch | HandOn | Average | LocalRound | Validate


def site_round(run: Run, trial: int, round_: int, site: int, records: int) -> Iterator[Batch]:
    """Give a site's batches of a round: its local epochs, one after the other."""
    return round_of(run, trial, round_, site, records, epochs_of(run, site))


def pool_round(run: Run, trial: int, round_: int, records: int) -> Iterator[Batch]:
    """Give the shuffled pool's batches of a round; it has no sites and so one number of epochs."""
    return round_of(run, trial, round_, 0, records, run.training.local_epochs)


def round_of(run: Run, trial: int, round_: int, site: int, records: int, epochs: int) -> Iterator[Batch]:
    """Give as many passes over some records as asked for."""
    batches = (batch for pass_ in range(epochs) for batch in epoch(run, round_, site, pass_, records))
    for step, batch in enumerate(batches):
        yield Batch(trial, round_, site, step, batch)


def sequential_round(run: Run, trial: int, round_: int, records: tuple[int, ...]) -> Iterator[Batch]:
    """Give the sites' batches of a round in the order in which a single back sees them."""
    order = site_order(run, round_, len(records))
    turns = [list(site_round(run, trial, round_, site, records[site])) for site in order]
    if run.turn == "client":
        return (batch for turn in turns for batch in turn)
    if run.interleave == "proportional":
        return iter(spread(turns))
    return (
        turn[step] for step in range(max(map(len, turns), default=0)) for turn in turns if step < len(turn)
    )


def spread(turns: list[list[Batch]]) -> list[Batch]:
    """Spread every site's batches evenly over the round: the s-th of n stands at (s + 1/2) / n of it."""
    placed = [
        ((2 * step + 1) / (2 * len(turn)), place, batch)
        for place, turn in enumerate(turns)
        for step, batch in enumerate(turn)
    ]
    return [batch for *_, batch in sorted(placed, key=lambda each: each[:2])]


def site_order(run: Run, round_: int, sites: int) -> list[int]:
    """Order the sites that take part in a round: as the study has them, backwards, or as drawn."""
    chosen = participants(run, round_, sites)
    if run.order != "drawn":
        return list(chosen if run.order == "fixed" else reversed(chosen))
    draws = np.random.default_rng(key(run.seed, "order", round_))
    return [chosen[place] for place in draws.permutation(len(chosen))]


def joint_round(run: Run, trial: int, round_: int, records: tuple[int, ...]) -> Iterator[JointBatch]:
    """Give a round's steps on all sites' records together.

    There are as many as the pool's own batches; each site's share of a step is a cut of its shuffled
    records in proportion to their number, so that all sites end together.
    """
    chosen = participants(run, round_, len(records))
    steps = -(-sum(records[site] for site in chosen) // run.training.batch_size)
    for pass_ in range(run.training.local_epochs):
        shuffled = {site: shuffle(run, round_, site, pass_, records[site]) for site in chosen}
        for step in range(steps):
            number = pass_ * steps + step
            batches = tuple(
                Batch(
                    trial,
                    round_,
                    site,
                    number,
                    order[len(order) * step // steps : len(order) * (step + 1) // steps],
                )
                for site, order in shuffled.items()
            )
            yield JointBatch(trial, round_, number, tuple(each for each in batches if len(each.records)))


def schedule(run: Run, records: tuple[int, ...]) -> Iterator[Item]:
    """Give a run's items in order.

    Args:
        run: the resolved run.
        records: training records of each hospital, in site order.
    """
    for trial, learning_rate in enumerate(run.training.learning_rates):
        yield Begin(trial, learning_rate)
        for round_ in range(run.training.rounds):
            yield from _round(run, trial, round_, records)
            yield Validate(trial, round_)


def _round(run: Run, trial: int, round_: int, records: tuple[int, ...]) -> Iterator[Item]:
    sites = participants(run, round_, len(records))
    if run.algorithm not in ("split", "cyclic"):
        yield LocalRound(trial, round_, sites)
    elif run.back == "joint":
        yield from joint_round(run, trial, round_, records)
    elif run.site_parts == "handed_on":
        yield from _handed_on_round(run, trial, round_, records)
    else:
        # copies of the back do not meet before the round's end: sites in turn, batch by batch, wait least
        turns = run.model_copy(update={"turn": "batch"}) if run.back == "averaged" else run
        yield from sequential_round(turns, trial, round_, records)
        if "averaged" in (run.site_parts, run.back):
            yield Average(trial, round_, sites)


def _handed_on_round(run: Run, trial: int, round_: int, records: tuple[int, ...]) -> Iterator[Item]:
    """Walk the batches; before another site's, the parts are handed on, and at the end to everyone."""
    holder = None
    for batch in sequential_round(run, trial, round_, records):
        if holder is not None and holder != batch.site:
            yield HandOn(trial, round_, holder, (batch.site,), optimizer=True)
        holder = batch.site
        yield batch
    if holder is None:
        return
    everyone = set(range(len(records))) - {holder}
    following = next(sequential_round(run, trial, round_ + 1, records), None)
    if following and following.site != holder and round_ + 1 < run.training.rounds:
        yield HandOn(trial, round_, holder, (following.site,), optimizer=True)
        everyone -= {following.site}
    if everyone:
        yield HandOn(trial, round_, holder, tuple(sorted(everyone)), optimizer=False)


def steps_in(run: Run, records: tuple[int, ...]) -> int:
    """Count the steps of all hospitals' turns over the whole schedule."""
    per_trial = sum(_steps_of(run, round_, records) for round_ in range(run.training.rounds))
    return per_trial * len(run.training.learning_rates)


def _steps_of(run: Run, round_: int, records: tuple[int, ...]) -> int:
    size, passes = run.training.batch_size, run.training.local_epochs
    if run.preset == "centralized" and run.batches == "shuffled":
        return passes * batches_in(run, sum(records))
    chosen = participants(run, round_, len(records))
    if run.back == "joint" or run.batches == "joint":
        return passes * -(-sum(records[site] for site in chosen) // size)
    return sum(epochs_of(run, site) * batches_in(run, records[site]) for site in chosen)
