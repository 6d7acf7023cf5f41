"""One step of split learning on one site's records: both halves."""

from importlib import import_module
from typing import Final, NamedTuple, cast

import torch
from torch import Tensor

from coordinator.algorithms.loading import batch_of, draw_of, load_ahead
from coordinator.algorithms.norm_exchange import coordinator_shortening, site_shortening
from coordinator.algorithms.norms import bound_step
from coordinator.algorithms.optimizers import Optimizer
from coordinator.algorithms.party import Party
from coordinator.algorithms.protecting import (
    add_hidden_term,
    outgoing,
    outgoing_gradient,
    outgoing_labels,
    packed,
    scrutinize,
    unpacked,
)
from coordinator.algorithms.tensors import labels_from, one, sent
from coordinator.algorithms.training import loss_of
from coordinator.models.stages import Part, Value, backward
from coordinator.privacy.guard import TRAIN
from coordinator.protocol.channel import CoordinatorChannel
from coordinator.protocol.messages import Activations, CutGradient, Features, HeadGradient
from coordinator.protocol.site_channel import SiteChannel
from coordinator.schedule import Batch

PRIVATE_FRONTS: Final = "coordinator.algorithms.private_fronts"


class Passed(NamedTuple):
    """A batch that went up: its inputs, the front's output, what of that left, the labels of its loss."""

    inputs: Value
    activations: Tensor
    left: Tensor
    labels: Tensor


def site_batch(party: Party, item: Batch, channel: SiteChannel) -> None:
    """Do the site's half of a step."""
    if party.run.privacy.dp_sgd is not None:
        import_module(PRIVATE_FRONTS).site_batch_privately(party, item, channel)  # Opacus takes seconds
        return
    passed, loss = go_up(party, item, channel), 0.0
    if party.run.labels == "private":
        loss = head_batch(party, item, passed.labels, channel)
    come_down(party, item, passed, channel)
    shortened = site_shortening(party, item.position, channel)
    for optimizer in party.optimizers.values():
        optimizer.descend(item.round, shortened)
    party.count(loss, len(item.records), party.index)


def go_up(party: Party, item: Batch, channel: SiteChannel) -> Passed:
    """Send a batch's activations, and its labels where they are shared."""
    inputs, labels = batch_of(party, item)
    activations = party.parts["front"](inputs, draw_of(party, item))
    left = outgoing(party, activations, item.position, TRAIN, item.records)
    if shared := party.run.labels == "shared":
        labels = outgoing_labels(party, labels, party.rows.train, item.records, TRAIN)
    channel.send(Activations(item.position, packed(party.run, left), sent(labels) if shared else None))
    load_ahead(party)
    return Passed(inputs, activations, left, labels)


def come_down(party: Party, item: Batch, passed: Passed, channel: SiteChannel) -> None:
    """Hear the gradient at the cut, and go on backwards through the front."""
    array = channel.receive(CutGradient, item.position).tensor
    gradient = one(array, tuple(passed.left.shape), "coordinator")
    scrutinize(party, gradient, passed.labels, item.position)
    add_hidden_term(party, passed.inputs, passed.activations)
    backward(passed.left, gradient)


def head_batch(
    party: Party, item: Batch, labels: Tensor, channel: SiteChannel, share: float | None = None
) -> float:
    """Do the head's half of a U-shaped step, and give its mean loss; a joint step weighs it by `share`."""
    shape = (len(labels), *party.shapes["middle"])
    features = one(channel.receive(Features, item.position).tensor, shape, "coordinator").requires_grad_()
    loss = loss_of(party.parts["head"](features, draw_of(party, item)), labels, party.class_weights)
    backward(loss if share is None else share * loss)
    weight = (1.0 if share is None else share) / len(labels)
    rows = cast(Tensor, features.grad)
    channel.send(
        HeadGradient(
            item.position,
            sent(outgoing_gradient(party, rows, labels, item.position, item.records, weight)),
        )
    )
    return float(loss.detach())


def coordinator_batch(party: Party, item: Batch, channel: CoordinatorChannel) -> None:
    """Do the coordinator's half of a step, with the back or with the site's copy of it."""
    site, draw = channel.sites[item.site], draw_of(party, item)
    part, optimizer = back_of(party, item.site)
    up = channel.receive(site, Activations, item.position)
    shape = (len(item.records), *party.shapes["front"])
    activations = unpacked(party.run, up.tensor, shape, site).requires_grad_()
    output, loss = part(activations, draw), torch.zeros(())
    if party.run.labels == "shared":
        labels = labels_from(up.labels, len(item.records), party.run, site)
        loss = loss_of(output, labels, party.class_weights)
        backward(loss)
        crossing = [activations]
    else:
        channel.send(site, Features(item.position, sent(output)))
        heard = channel.receive(site, HeadGradient, item.position)
        gradient = one(heard.tensor, tuple(output.shape), site)
        backward(output, gradient)
        crossing = [activations, gradient]
    bounded = party.run.norms.action != "report"
    if bounded:
        bound_step(party, item.site, part, *crossing)
    channel.send(site, CutGradient(item.position, sent(cast(Tensor, activations.grad))))
    party.count(float(loss.detach()), len(item.records), item.site)  # the site waits for the gradient
    if not bounded:
        bound_step(party, item.site, part, *crossing)  # only measures
    optimizer.descend(item.round, coordinator_shortening(party, optimizer, item.position, channel))


def back_of(party: Party, site: int) -> tuple[Part, Optimizer]:
    """Give the coordinator's layers that a site trains: the one back, or its copy."""
    if party.copies:
        return party.copies[site], party.copy_optimizers[site]
    ((name, part),) = party.parts.items()
    return part, party.optimizers[name]
