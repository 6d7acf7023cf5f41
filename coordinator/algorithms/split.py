"""Split learning: the first layers stay at the site, activations go up, gradients come down.

With labels shared (vanilla: Gupta & Raskar 2018) a step is

    site         a = f(x; w_front)            sends a, y
    coordinator  l = L(g(a; w_back), y)       w_back <- w_back - eta dl/dw_back     sends dl/da
    site                                      w_front <- w_front - eta (dl/da)(da/dw_front)

With labels private (U-shaped: Vepakomma 2018) the head, the labels and the loss stay at the site:

    site         a = f(x; w_front)            sends a
    coordinator  m = g(a; w_middle)           sends m
    site         l = L(h(m; w_head), y)       w_head <- ...                          sends dl/dm
    coordinator                               w_middle <- ...                        sends dl/da
    site                                      w_front <- ...

Sites take turns; front (and head) travel from site to site, sealed, with their optimizer's state.
"""

from typing import cast

import torch
from torch import Tensor

from coordinator.algorithms import handing_on
from coordinator.algorithms.party import (
    Party,
    Rows,
    Validation,
    begin,
    builders_of,
    keep,
    restore,
    select,
    switch,
)  # fmt: skip
from coordinator.algorithms.tensors import one, sent
from coordinator.algorithms.training import (
    Draw,
    evaluation_batches,
    loss_of,
    loss_sum,
)  # fmt: skip
from coordinator.models.catalog import stage_names
from coordinator.models.stages import backward, cut, outline
from coordinator.protocol.channel import CoordinatorChannel, SiteChannel
from coordinator.protocol.messages import (
    Activations,
    CutGradient,
    Features,
    HeadGradient,
    Position,
    Scores,
    Validated,
    Verdict,
)  # fmt: skip
from coordinator.schedule import Batch, Begin, HandOn, Item
from coordinator.specs import Run

Parts = dict[str, tuple[str, ...]]


def parts_of(run: Run) -> tuple[Parts, Parts]:
    """Say which stages the site holds and which the coordinator."""
    pieces = cut(stage_names(run.model), run.cut)
    if run.labels == "shared":
        return {"front": pieces[0]}, {"back": pieces[1]}
    return {"front": pieces[0], "head": pieces[2]}, {"middle": pieces[1]}


def site_step(party: Party, item: Item, channel: SiteChannel) -> Party:
    """Walk one item at a site; another site's turn is none of its business."""
    match item:
        case Begin():
            return start(party, item, parts_of(party.run)[0])
        case Batch() if item.site == party.index:
            site_batch(party, item, channel)
        case HandOn() if party.index == item.giver:
            handing_on.give(party, item, channel)
        case HandOn() if party.index in item.takers:
            handing_on.take(party, item, channel)
        case Batch() | HandOn():
            pass
        case _:
            site_validate(party, (item.trial, item.round, party.index, -1), channel)
    return party


def coordinator_step(party: Party, item: Item, channel: CoordinatorChannel) -> Party:
    """Walk one item at the coordinator."""
    match item:
        case Begin():
            return start(party, item, parts_of(party.run)[1])
        case Batch():
            coordinator_batch(party, item, channel)
        case HandOn():
            handing_on.relay(item, channel)
        case _:
            coordinator_validate(party, (item.trial, item.round), channel)
    return party


def start(party: Party, item: Begin, held: Parts) -> Party:
    """Build this party's parts, and work out the shapes that cross the cuts."""
    stages = outline(builders_of(party.run, party.cohort.shape), party.cohort.shape)
    party.shapes = {
        name: stages[last].shape for name, last in zip(("front", "middle"), party.run.cut, strict=False)
    }
    return begin(party, item, held)


def site_batch(party: Party, item: Batch, channel: SiteChannel) -> None:
    """Do the site's half of a step."""
    train, draw = party.rows.train, draw_of(party, item)
    labels = train.labels[item.records]
    activations = party.parts["front"](train.inputs[item.records], draw)
    shared = sent(labels) if party.run.labels == "shared" else None
    channel.send(Activations(item.position, sent(activations), shared))
    loss = 0.0 if shared is not None else head_batch(party, item, labels, draw, channel)
    gradient = channel.receive(CutGradient, item.position).tensor
    backward(activations, one(gradient, tuple(activations.shape), "coordinator"))
    party.optimizers["front"].descend()
    party.count(loss, len(item.records), party.index)


def head_batch(party: Party, item: Batch, labels: Tensor, draw: Draw, channel: SiteChannel) -> float:
    """Do the head's half of a U-shaped step, and give its mean loss."""
    shape = (len(labels), *party.shapes["middle"])
    features = one(channel.receive(Features, item.position).tensor, shape, "coordinator").requires_grad_()
    loss = loss_of(party.parts["head"](features, draw), labels)
    loss.backward()
    channel.send(HeadGradient(item.position, sent(cast(Tensor, features.grad))))
    party.optimizers["head"].descend()
    return float(loss.detach())


def coordinator_batch(party: Party, item: Batch, channel: CoordinatorChannel) -> None:
    """Do the coordinator's half of a step."""
    site, draw = channel.sites[item.site], draw_of(party, item)
    up = channel.receive(site, Activations, item.position)
    activations = one(up.tensor, (len(item.records), *party.shapes["front"]), site).requires_grad_()
    (name,) = party.parts
    output = party.parts[name](activations, draw)
    if party.run.labels == "shared":
        loss = loss_of(output, one(up.labels, (len(item.records),), site))
        loss.backward()
        party.count(float(loss.detach()), len(item.records), item.site)
    else:
        channel.send(site, Features(item.position, sent(output)))
        gradient = channel.receive(site, HeadGradient, item.position).tensor
        backward(output, one(gradient, tuple(output.shape), site))
        party.count(0.0, len(item.records), item.site)
    channel.send(site, CutGradient(item.position, sent(cast(Tensor, activations.grad))))
    party.optimizers[name].descend()


def site_validate(party: Party, at: Position, channel: SiteChannel) -> None:
    """Have the validation records scored, and hear whether this round's model is the best."""
    rows = party.rows.validation[0]
    switch(party, training=False)
    logits = have_scored(party, rows, at, channel, share_labels=party.run.labels == "shared")
    switch(party, training=True)
    if logits is not None:
        loss = loss_sum(logits, rows.labels)
        channel.send(Validated(at, *party.take_losses(party.index), loss, len(rows.labels)))
    if channel.receive(Verdict, (*at[:2], 0, -1)).best:
        keep(party)


@torch.inference_mode()
def have_scored(
    party: Party, rows: Rows, at: Position, channel: SiteChannel, *, share_labels: bool
) -> Tensor | None:
    """Send activations in evaluation batches; give the logits unless the coordinator has the labels."""
    found = [torch.empty(0, 1)]
    for number, batch in enumerate(evaluation_batches(len(rows.labels))):
        position = (*at[:3], number)
        inputs, labels = rows.inputs[batch], rows.labels[batch]
        party.records_scored += len(inputs)
        channel.send(
            Activations(position, sent(party.parts["front"](inputs)), sent(labels) if share_labels else None)
        )
        if "head" in party.parts:
            features = channel.receive(Features, position).tensor
            found.append(
                party.parts["head"](one(features, (len(inputs), *party.shapes["middle"]), "coordinator"))
            )
        elif not share_labels:
            found.append(one(channel.receive(Scores, position).tensor, (len(inputs), 1), "coordinator"))
    return None if share_labels else torch.cat(found)


def coordinator_validate(party: Party, at: tuple[int, int], channel: CoordinatorChannel) -> None:
    """Score every site's validation records in site order, select, and tell the sites."""
    switch(party, training=False)
    found = [validate_site(party, (*at, index, -1), channel) for index in range(len(channel.sites))]
    switch(party, training=True)
    best = select(party, found, at)
    channel.broadcast(Verdict((*at, 0, -1), best))
    if best:
        keep(party)


def validate_site(party: Party, at: Position, channel: CoordinatorChannel) -> Validation:
    """Score one site's validation records; with private labels the site says how it went."""
    index = at[2]
    count = party.cohort.validation[index]
    if party.run.labels == "shared":
        loss = score_for(party, at, count, channel, labels_come=True)
        return Validation(*party.take_losses(index), loss, count)
    score_for(party, at, count, channel, labels_come=False)
    said = channel.receive(channel.sites[index], Validated, at)
    return Validation(said.train_loss, said.train_records, said.loss, said.records)


@torch.inference_mode()
def score_for(
    party: Party, at: Position, count: int, channel: CoordinatorChannel, *, labels_come: bool
) -> float:
    """Run a site's activations through the coordinator's part; give the loss where labels come."""
    site, loss = channel.sites[at[2]], 0.0
    (part,) = party.parts.values()
    for number, batch in enumerate(evaluation_batches(count)):
        position = (*at[:3], number)
        size = min(batch.stop, count) - batch.start
        up = channel.receive(site, Activations, position)
        output = part(one(up.tensor, (size, *party.shapes["front"]), site))
        party.records_scored += size
        if "middle" in party.parts:
            channel.send(site, Features(position, sent(output)))
        elif labels_come:
            loss += loss_sum(output, one(up.labels, (size,), site))
        else:
            channel.send(site, Scores(position, sent(output)))
    return loss


def site_predict(party: Party, channel: SiteChannel) -> list[Tensor]:
    """Give the best model's test logits (records, 1) by hospital."""
    restore(party)
    rows = party.rows.test[0]
    logits = have_scored(party, rows, (-1, -1, party.index, -1), channel, share_labels=False)
    assert logits is not None
    return [logits]


def coordinator_predict(party: Party, channel: CoordinatorChannel) -> None:
    """Score every site's test records, in site order."""
    restore(party)
    for index, count in enumerate(party.cohort.test):
        score_for(party, (-1, -1, index, -1), count, channel, labels_come=False)


def draw_of(party: Party, item: Batch) -> Draw:
    """Say what keys a step's random draws: the same in every arm."""
    return (party.run.seed, "forward", *item.draw)
