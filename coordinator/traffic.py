"""What a run sends, before it runs: the closed form of its messages' arrays, item by item of the schedule.

A test holds it against what was counted. Headers come on top (about 60 bytes a message), as do commits, the
lengths of gradients that clipping by the global norm exchanges, and the epochs of `adapt`.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from math import prod
from typing import Final, Literal, NamedTuple

from safetensors.torch import save

from coordinator.algorithms.building import outline_of
from coordinator.algorithms.cohort import Cohort
from coordinator.algorithms.federated import shared
from coordinator.algorithms.handing_on import pack, purpose_of
from coordinator.algorithms.party import Party, begin
from coordinator.algorithms.training import evaluation_batches, floats
from coordinator.driver import algorithm
from coordinator.schedule import Average, Batch, Begin, HandOn, Item, JointBatch, LocalRound, Validate
from coordinator.specs import Run

FLOAT: Final = 4  # bytes
BOX: Final = 24 + 16 + 4  # a sealed box's nonce and tag, and the length of what it is for


class Hop(NamedTuple):
    """A message between a site and the coordinator, and the bytes of its arrays."""

    way: Literal["up", "down"]
    site: int
    kind: str
    payload: int


@dataclass(frozen=True)
class Widths:
    """How many numbers travel: a record's activations and features; the sites' parts; and sealed bytes."""

    front: int
    middle: int
    averaged: int
    gradients: int
    sealed: int
    sealed_with_optimizer: int


def widths_of(run: Run, cohort: Cohort) -> Widths:
    """Build what a site holds, and measure it."""
    held = algorithm(run.algorithm).parts_of(run, cohort.shape)[0]
    site = begin(Party(run, cohort, 0), Begin(0, run.training.learning_rates[0]), held)
    stages = outline_of(run, cohort.shape)
    front, middle, *_ = [*(prod(stages[last].shape) for last in run.cut), 0, 0]
    travels = shared(site) if run.algorithm == "federated" else [
        value for part in site.parts.values() for value in floats(part)
    ]  # fmt: skip
    return Widths(
        front=front,
        middle=middle,
        averaged=sum(value.numel() for value in travels),
        gradients=sum(each.numel() for part in site.parts.values() for each in part.parameters()),
        sealed=len(save(pack(site, optimizer=False))),
        sealed_with_optimizer=len(save(pack(site, optimizer=True))),
    )


def hops(run: Run, cohort: Cohort, widths: Widths, item: Item) -> Iterator[Hop]:
    """Give an item's messages in the order in which the coordinator hears and says them."""
    everyone = range(len(run.parties))
    match item:
        case Batch() if run.algorithm == "split":
            yield from _batches(run, widths, [item])
        case JointBatch():
            yield from _batches(run, widths, item.batches)
            if run.site_parts == "synchronous":
                size = FLOAT * widths.gradients
                yield from (Hop("up", batch.site, "gradients", size) for batch in item.batches)
                yield from (Hop("down", site, "gradients", size) for site in everyone)
        case HandOn():
            yield from _handed_on(run, cohort, widths, item)
        case Average() if run.site_parts == "averaged":
            yield from _averaged(run, widths, item.sites)
        case LocalRound() if run.algorithm == "federated":
            yield from _averaged(run, widths, item.sites)
            if run.rule == "scaffold":
                yield from (Hop("down", site, "control", FLOAT * widths.averaged) for site in everyone)
        case Validate():
            yield from _validated(run, cohort, widths)


def scored(run: Run, counts: Sequence[int], widths: Widths, *, labels: bool) -> Iterator[Hop]:
    """Give the messages in which a cut network scores the sites' records."""
    for site, count in enumerate(counts):
        for batch in evaluation_batches(count):
            size = min(batch.stop, count) - batch.start
            yield Hop("up", site, "activations", FLOAT * size * (widths.front + labels))
            if run.labels == "private":
                yield Hop("down", site, "features", FLOAT * size * widths.middle)
            elif not labels:
                yield Hop("down", site, "scores", FLOAT * size * run.outputs)


def _batches(run: Run, widths: Widths, batches: Sequence[Batch]) -> Iterator[Hop]:
    labels = run.labels == "shared"
    sizes = {batch.site: FLOAT * len(batch.records) for batch in batches}
    yield from (Hop("up", site, "activations", n * (widths.front + labels)) for site, n in sizes.items())
    if not labels:
        yield from (Hop("down", site, "features", n * widths.middle) for site, n in sizes.items())
        yield from (Hop("up", site, "headgradient", n * widths.middle) for site, n in sizes.items())
    yield from (Hop("down", site, "cutgradient", n * widths.front) for site, n in sizes.items())


def _handed_on(run: Run, cohort: Cohort, widths: Widths, item: HandOn) -> Iterator[Hop]:
    content = widths.sealed_with_optimizer if item.optimizer else widths.sealed
    for taker in item.takers:
        purpose = purpose_of(Party(run, cohort), item, taker)
        size = BOX + len(json.dumps(asdict(purpose))) + content
        yield Hop("up", item.giver, "sealed", size)
        yield Hop("down", taker, "sealed", size)


def _averaged(run: Run, widths: Widths, sites: Sequence[int]) -> Iterator[Hop]:
    yield from (Hop("up", site, "weights", FLOAT * widths.averaged) for site in sites)
    yield from (Hop("down", site, "weights", FLOAT * widths.averaged) for site in range(len(run.parties)))


def _validated(run: Run, cohort: Cohort, widths: Widths) -> Iterator[Hop]:
    sites = range(len(run.parties))
    if run.algorithm == "split":
        yield from scored(run, cohort.validation, widths, labels=run.labels == "shared")
    if run.algorithm != "split" or run.labels == "private":
        yield from (Hop("up", site, "validated", 0) for site in sites)
    if run.algorithm != "local":
        yield from (Hop("down", site, "verdict", 0) for site in sites)
