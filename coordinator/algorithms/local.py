"""Centralized and local training: the whole model, one party's records, no exchange.

Centralized training is the same loop at a site called `pooled`, whose records are all sites'.
"""

from collections.abc import Callable, Iterator
from dataclasses import astuple, replace
from importlib import import_module
from typing import Final

import numpy as np
import torch
from torch import Tensor

from coordinator.algorithms.loading import batch_of, draw_of
from coordinator.algorithms.party import (
    Party,
    Validation,
    Waiting,
    begin,
    predict_whole,
    said,
    unheard,
    validate_whole,
    whole,
)
from coordinator.algorithms.party import whole_at_sites as parts_of
from coordinator.algorithms.selection import decide, keep, out_of_patience, select
from coordinator.algorithms.training import train_batch
from coordinator.models.stages import Part
from coordinator.protocol.channel import CoordinatorChannel
from coordinator.protocol.messages import Validated
from coordinator.protocol.site_channel import SiteChannel
from coordinator.schedule import (
    Batch,
    Begin,
    Item,
    LocalRound,
    joint_round,
    pool_round,
    sequential_round,
    site_round,
)

PRIVATE_STEPS: Final = "coordinator.algorithms.private_steps"
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
            validations, at = validate_whole(party), (item.trial, item.round)
            if decide(party, validations, at):
                keep(party, at)
            if untrained(party, party.index):
                party.stopped = item.trial
            report(validations, at, channel, max(party.index, 0))
    return party


def coordinator_step(party: Party, item: Item, channel: CoordinatorChannel) -> Party:
    """Hear how it goes; learn nothing else. Who stops follows from what was heard, by the same rule."""
    match item:
        case Begin():
            party.apart, party.stopped_alone = {}, {}
        case LocalRound():
            pass
        case _:
            at = (item.trial, item.round)
            heard = hear(party, channel, at)
            if party.run.preset == "local":
                select(party, heard, at)
                stop_alone(party, heard, at)
            else:
                decide(party, heard, at)
    return party


def hear(party: Party, channel: CoordinatorChannel, at: tuple[int, int]) -> list[Validation]:
    """Hear each hospital's losses, in site order; the pool speaks for all.

    A site that has stopped alone says nothing more: its model, and so its validation loss, is as it was.
    """
    pool = party.run.preset == "centralized"
    speakers = [channel.sites[0]] * len(party.cohort.train) if pool else channel.sites
    return [
        unheard()
        if index in party.gone
        else replace(party.rounds[-1][index], train_loss=0.0, train_records=0)
        if index in party.stopped_alone
        else said(party, channel.receive(speaker, Validated, (*at, index, -1)), speaker)
        for index, speaker in enumerate(speakers)
    ]


def stop_alone(party: Party, heard: list[Validation], at: tuple[int, int]) -> None:
    """Note which sites stop after this round; the trial ends with the last."""
    for index, validation in enumerate(heard):
        waiting = party.apart.setdefault(index, Waiting())
        stops = out_of_patience(party.run, waiting, [validation], at[0]) or untrained(party, index)
        if stops and index not in party.stopped_alone:
            party.stopped_alone[index] = at[1]
    if len(party.stopped_alone) == len(heard):
        party.stopped = at[0]


def untrained(party: Party, index: int) -> bool:
    """Say whether a site that trains alone has nothing to train on and so stops at once, if any stops."""
    alone = party.run.preset == "local" and party.run.training.patience is not None
    return alone and not party.cohort.train[index]


def batches_here(party: Party, item: LocalRound) -> Iterator[Batch]:
    """Give this party's batches of the round; the pool's indices count through the hospitals."""
    run = party.run
    if run.preset != "centralized":
        yield from site_round(run, item.trial, item.round, party.index, party.cohort.train[party.index])
    elif run.batches == "shuffled":
        yield from pool_round(run, item.trial, item.round, sum(party.cohort.train))
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
    if party.run.privacy.dp_sgd is not None:
        import_module(PRIVATE_STEPS).train_privately(party, batch, extra)  # importing Opacus takes seconds
        return
    inputs, labels = batch_of(party, batch)
    loss = train_batch(
        party.parts["model"], party.optimizers["model"], inputs, labels, draw_of(party, batch),
        extra, correct, round_=batch.round, weights=party.class_weights,
    )  # fmt: skip
    party.count(loss, len(batch.records), batch.site)


def report(validations: list[Validation], at: tuple[int, int], channel: SiteChannel, index: int = 0) -> None:
    """Release the losses of each hospital this party validated."""
    for offset, each in enumerate(validations):
        position = (*at, index + offset, -1)
        channel.send(Validated(position, *astuple(each)))


def site_predict(party: Party, channel: SiteChannel) -> list[Tensor]:
    """Give the test logits (records, outputs) by hospital; NaN from a hospital that had nothing to train on.

    Alone, a held-out hospital has no model: the one it began with is not kept, and is not scored.
    """
    if party.run.preset == "local" and not party.cohort.train[party.index]:
        party.parts.clear()
        return [torch.full((len(rows.labels), party.run.outputs), torch.nan) for rows in party.rows.test]
    return predict_whole(party)


def coordinator_predict(party: Party, channel: CoordinatorChannel) -> None:
    """Nothing to do: the model is at the site."""
