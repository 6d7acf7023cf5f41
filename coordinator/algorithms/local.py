"""Centralized and local training: the whole model, one party's records, no exchange.

Centralized training is the same loop at a site called `pooled`, whose records are all sites'.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from coordinator.algorithms.party import (
    Party,
    Validation,
    begin,
    keep,
    predict_whole,
    said,
    select,
    validate_whole,
    whole,
)  # fmt: skip
from coordinator.algorithms.party import whole_at_sites as parts_of
from coordinator.algorithms.training import train_batch
from coordinator.models.stages import Part
from coordinator.protocol.channel import CoordinatorChannel, SiteChannel
from coordinator.protocol.messages import Validated
from coordinator.schedule import Batch, Begin, Item, LocalRound, joint_round, sequential_round, site_round

__all__ = ["coordinator_predict", "coordinator_step", "parts_of", "site_predict", "site_step"]


def site_step(party: Party, item: Item, channel: SiteChannel) -> Party:
    """Train on what is here; the best model is this party's own choice."""
    match item:
        case Begin():
            return begin(party, item, whole(party.run))
        case LocalRound():
            for batch in batches_here(party, item):
                train_here(party, batch)
        case _:
            validations = validate_whole(party)
            if select(party, validations, (item.trial, item.round)):
                keep(party)
            report(validations, (item.trial, item.round), channel, max(party.index, 0))
    return party


def coordinator_step(party: Party, item: Item, channel: CoordinatorChannel) -> Party:
    """Hear how it goes; learn nothing else."""
    if not isinstance(item, Begin | LocalRound):
        select(party, hear(party, channel, (item.trial, item.round)), (item.trial, item.round))
    return party


def hear(party: Party, channel: CoordinatorChannel, at: tuple[int, int]) -> list[Validation]:
    """Hear each hospital's losses, in site order; the pool speaks for all."""
    pool = party.run.preset == "centralized"
    speakers = [channel.sites[0]] * len(party.cohort.train) if pool else channel.sites
    return [
        said(party, channel.receive(speaker, Validated, (*at, index, -1)), speaker)
        for index, speaker in enumerate(speakers)
    ]


def batches_here(party: Party, item: LocalRound) -> Iterator[Batch]:
    """Give this party's batches of the round; the pool's indices count through the hospitals."""
    run = party.run
    if run.preset != "centralized":
        yield from site_round(run, item.trial, item.round, party.index, party.cohort.train[party.index])
    elif run.batches == "shuffled":
        yield from site_round(run, item.trial, item.round, 0, sum(party.cohort.train))
    elif run.batches == "joint":
        for joint in joint_round(run, item.trial, item.round, party.cohort.train):
            records = np.concatenate([in_pool(party, batch).records for batch in joint.batches])
            yield Batch(joint.trial, joint.round, 0, joint.step, records)
    else:
        for batch in sequential_round(run, item.trial, item.round, party.cohort.train):
            yield in_pool(party, batch)


def in_pool(party: Party, batch: Batch) -> Batch:
    """Number a hospital's records as the pool does."""
    start = sum(party.cohort.train[: batch.site])
    return replace(batch, records=batch.records + start)


def train_here(
    party: Party,
    batch: Batch,
    extra: Callable[[Part], Tensor] | None = None,
    correct: Callable[[Part], None] | None = None,
) -> None:
    """Do one step of the whole model; `extra` and `correct` are `train_batch`'s."""
    train, seed = party.rows.train, party.run.seed
    loss = train_batch(
        party.parts["model"], party.optimizers["model"],
        train.batch(batch.records, (seed, "augment", *batch.draw)), train.labels[batch.records],
        (seed, "forward", *batch.draw), extra, correct,
    )  # fmt: skip
    party.count(loss, len(batch.records), batch.site)


def report(validations: list[Validation], at: tuple[int, int], channel: SiteChannel, index: int = 0) -> None:
    """Release the losses of each hospital this party validated."""
    for offset, each in enumerate(validations):
        position = (*at, index + offset, -1)
        channel.send(Validated(position, each.train_loss, each.train_records, each.loss, each.records))


def site_predict(party: Party, channel: SiteChannel) -> list[Tensor]:
    """Give the test logits (records, 1) by hospital; NaN from a hospital that had nothing to train on.

    Alone, a held-out hospital has no model: the one it began with is not kept, and is not scored.
    """
    if party.run.preset == "local" and not party.cohort.train[party.index]:
        party.parts.clear()
        return [torch.full((len(rows.labels), 1), torch.nan) for rows in party.rows.test]
    return predict_whole(party)


def coordinator_predict(party: Party, channel: CoordinatorChannel) -> None:
    """Nothing to do: the model is at the site."""
