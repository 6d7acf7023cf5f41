"""Walks the schedule: the one loop over items, at the coordinator and at each site.

Checkpoints, liveness and progress belong here and in the channel, never in an algorithm's file.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeVar

from torch import Tensor

from coordinator.algorithms.party import Party
from coordinator.protocol.channel import CoordinatorChannel, SiteChannel
from coordinator.schedule import Item, schedule

Channel = TypeVar("Channel", CoordinatorChannel, SiteChannel)
Watch = Callable[[Item, Party], None]


def algorithm(name: str) -> Any:
    """Load an algorithm: a module with a step and a predict function for each side."""
    return import_module(f"coordinator.algorithms.{name}")


def coordinate(party: Party, channel: CoordinatorChannel, watch: Watch) -> None:
    """Walk the coordinator through a run; ``watch`` sees the state after every item."""
    module = algorithm(party.run.algorithm)
    _walk(party, channel, module.coordinator_step, watch)
    module.coordinator_predict(party, channel)


def take_part(party: Party, channel: SiteChannel, watch: Watch) -> list[Tensor]:
    """Walk a site through a run; give its test logits by hospital."""
    module = algorithm(party.run.algorithm)
    _walk(party, channel, module.site_step, watch)
    logits: list[Tensor] = module.site_predict(party, channel)
    return logits


def _walk(
    party: Party, channel: Channel, step: Callable[[Party, Item, Channel], Party], watch: Watch
) -> None:
    for item in schedule(party.run, party.cohort.train):
        if item.trial == party.stopped:  # what is left of a trial that was given up
            continue
        step(party, item, channel)
        watch(item, party)
