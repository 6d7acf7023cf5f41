"""Walks the schedule: the one loop over items, at the coordinator and at each site.

Checkpoints, liveness and progress belong here and in the channel, never in an algorithm's file.
"""

from collections.abc import Callable
from importlib import import_module
from itertools import chain, pairwise
from typing import Any, Protocol, TypeVar

from torch import Tensor

from coordinator.algorithms.party import Party
from coordinator.protocol.channel import CoordinatorChannel
from coordinator.protocol.site_channel import SiteChannel
from coordinator.schedule import Batch, Begin, Item, JointBatch, Validate, schedule
from coordinator.specs import Run

Channel = TypeVar("Channel", CoordinatorChannel, SiteChannel)
Watch = Callable[[Item, Party], None]


class Committing(Protocol):
    """Makes commits, and knows the one from which this walk goes on."""

    def start(self) -> int:
        """Give the item of the schedule after which that commit was made, -1: begin."""

    def go_on(self, party: Party) -> None:
        """Put a party that has begun that trial into the commit's state."""

    def make(self, party: Party, number: int, item: int) -> None:
        """Commit after an item; numbers count up, not all are made."""


def algorithm(name: str) -> Any:
    """Load an algorithm: a module with a step and a predict function for each side."""
    return import_module(f"coordinator.algorithms.{name}")


def coordinate(
    party: Party, channel: CoordinatorChannel, watch: Watch, commits: Committing | None = None
) -> None:
    """Walk the coordinator through a run; ``watch`` sees the state after every item."""
    module = algorithm(party.run.algorithm)
    _walk(party, channel, module.coordinator_step, watch, commits)
    module.coordinator_predict(party, channel)


def take_part(
    party: Party, channel: SiteChannel, watch: Watch, commits: Committing | None = None
) -> list[Tensor]:
    """Walk a site through a run; give its test logits by hospital."""
    module = algorithm(party.run.algorithm)
    _walk(party, channel, module.site_step, watch, commits)
    logits: list[Tensor] = module.site_predict(party, channel)
    return logits


def _walk(
    party: Party,
    channel: Channel,
    step: Callable[[Party, Item, Channel], Party],
    watch: Watch,
    commits: Committing | None,
) -> None:
    start, begun, due = commits.start() if commits else -1, None, Due(party.run)
    items = chain(schedule(party.run, party.cohort.train), [None])
    for place, (item, party.upcoming) in enumerate(pairwise(items)):
        assert item is not None  # only the last one's next is
        number = due.after(item)
        if place <= start:
            begun = item if isinstance(item, Begin) else begun
            if place == start and commits and begun:
                step(party, begun, channel)
                commits.go_on(party)
            continue
        # of a trial that was given up, or after the end of a privacy budget
        left_out = party.ended or item.trial == party.stopped
        if not left_out:
            step(party, item, channel)
            watch(item, party)
        # a site that trains alone stops alone, and commits with the others
        if commits and number and (party.run.preset == "local" or not left_out):
            commits.make(party, number, place)


class Due:
    """Says after which items a commit is due: each round, and every so many steps within one."""

    def __init__(self, run: Run) -> None:
        """Count from the schedule's first item on, which all parties do alike."""
        self._steps, self._since, self._number = run.commit_steps, 0, 0

    def after(self, item: Item) -> int:
        """Give the number, from 1, of the commit that is due after an item, or 0."""
        self._since += isinstance(item, Batch | JointBatch)
        if not isinstance(item, Validate) and self._since < self._steps:
            return 0
        self._since = 0
        self._number += 1
        return self._number
