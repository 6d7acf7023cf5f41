"""Walks the schedule: the one loop over items, at the coordinator and at each site.

Checkpoints, liveness and progress belong here and in the channel, never in an algorithm's file.
"""

from collections.abc import Callable
from importlib import import_module
from itertools import chain, pairwise
from typing import Any, Protocol, TypeVar

from torch import Tensor

from coordinator.algorithms.catching_up import catch_up, leave, let_in
from coordinator.algorithms.party import Party
from coordinator.protocol.channel import CoordinatorChannel
from coordinator.protocol.site_channel import SiteChannel
from coordinator.schedule import Begin, Item
from coordinator.walking import Walked, walked

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
    """Walk a site through a run; give its test logits by hospital, none where it is away at the end."""
    module = algorithm(party.run.algorithm)
    _walk(party, channel, module.site_step, watch, commits)
    if party.index in party.gone:
        return []
    logits: list[Tensor] = module.site_predict(party, channel)
    return logits


def _walk(
    party: Party,
    channel: Channel,
    step: Callable[[Party, Item, Channel], Party],
    watch: Watch,
    commits: Committing | None,
) -> None:
    start, begun = commits.start() if commits else -1, None
    for at, following in pairwise(chain(walked(party.run, party.cohort.train, party.away), [None])):
        assert at is not None  # only the last one's next is
        party.upcoming = following.item if following else None
        if at.place <= start:
            begun = at.item if isinstance(at.item, Begin) else begun
            if at.place == start and commits and begun:
                step(party, begun, channel)
                commits.go_on(party)
            continue
        _gather(party, at, channel, begun.trial if begun else -1)
        begun = at.item if isinstance(at.item, Begin) else begun
        # of a trial that was given up, or after the end of a privacy budget
        left_out = at.item is None or party.ended or at.item.trial == party.stopped
        away = party.index in party.gone
        if not left_out:
            for each in at.steps:
                if not away or isinstance(each, Begin):
                    step(party, each, channel)
        if at.item and not left_out and not away:
            watch(at.item, party)
        # a site that trains alone stops alone, and commits with the others
        if commits and at.commit and not away and (party.run.preset == "local" or not left_out):
            commits.make(party, at.commit, at.place)


def _gather(party: Party, at: Walked, channel: Channel, trial: int) -> None:
    """Take note of who is away from here on, and let who is back catch up."""
    if at.away != party.gone:
        if party.index in at.away and party.index not in party.gone:
            party.left = leave(party, trial)
        party.gone = at.away
        if isinstance(channel, CoordinatorChannel):
            channel.leave_out(party.run.parties[index] for index in at.away)
    for each in at.back:
        if isinstance(channel, CoordinatorChannel):
            let_in(party, each, channel, algorithm(party.run.algorithm))
        else:
            catch_up(party, each, channel, algorithm(party.run.algorithm))
