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

from torch import Tensor

from coordinator.algorithms import handing_on
from coordinator.algorithms.party import Party, begin, builders_of
from coordinator.algorithms.split_scoring import (
    coordinator_predict,
    coordinator_validate,
    site_predict,
    site_validate,
)
from coordinator.algorithms.tensors import one, sent
from coordinator.algorithms.training import Draw, loss_of
from coordinator.models.catalog import stage_names
from coordinator.models.stages import backward, cut, outline
from coordinator.protocol.channel import CoordinatorChannel, SiteChannel
from coordinator.protocol.messages import Activations, CutGradient, Features, HeadGradient
from coordinator.schedule import Batch, Begin, HandOn, Item
from coordinator.specs import Run

__all__ = ["coordinator_predict", "coordinator_step", "parts_of", "site_predict", "site_step"]

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


def draw_of(party: Party, item: Batch) -> Draw:
    """Say what keys a step's random draws: the same in every arm."""
    return (party.run.seed, "forward", *item.draw)
