"""One step on all sites' records together: one backward pass of the mean loss over them (large-batch SGD).

    site k        a_k = f(x_k; w_front)                     sends a_k (and y_k)
    coordinator   l = sum_k (b_k / b) L(g(a_k; w_back), y_k)  w_back <- ...        sends dl/da_k
    site k        g_k = (dl/da_k)(da_k/dw_front)
                  private parts:      w_front <- w_front - eta g_k
                  synchronous parts:  sends g_k; w_front <- w_front - eta sum_k g_k

With labels private the head's loss is scaled by b_k / b at the site. `site_weights: equal` puts 1 / K in the
place of b_k / b, K the sites in the step. Clipping by the global norm takes the summed gradient of the sites'
parts, which the coordinator has, and tells the sites the lengths of its own.
"""

from typing import cast

import torch
from torch import Tensor

from coordinator.algorithms.clipping import alone
from coordinator.algorithms.loading import draw_of
from coordinator.algorithms.norm_exchange import globally, heard_shortening, told_shortening
from coordinator.algorithms.norms import heeded, length_of
from coordinator.algorithms.party import Party
from coordinator.algorithms.protecting import unpacked
from coordinator.algorithms.split_steps import come_down, go_up, head_batch
from coordinator.algorithms.tensors import labels_from, one, received, sent
from coordinator.algorithms.training import loss_of
from coordinator.models.stages import backward
from coordinator.protocol.channel import CoordinatorChannel
from coordinator.protocol.messages import (
    Activations,
    CutGradient,
    Features,
    Gradients,
    HeadGradient,
    Position,
)
from coordinator.protocol.site_channel import SiteChannel
from coordinator.schedule import Batch, JointBatch


def site_joint(party: Party, item: JointBatch, channel: SiteChannel) -> None:
    """Do the site's half; a site without records in the step only takes the sum of the others' gradients."""
    mine = next((batch for batch in item.batches if batch.site == party.index), None)
    if mine is not None:
        _forward_and_back(party, item, mine, channel)
    if party.run.site_parts == "synchronous":
        _add_up(party, item, channel, sends=mine is not None)
    if mine is not None or party.run.site_parts == "synchronous":
        shortened = heard_shortening(party, _place(item, 0), channel)
        for optimizer in party.optimizers.values():
            optimizer.descend(item.round, shortened)


def coordinator_joint(party: Party, item: JointBatch, channel: CoordinatorChannel) -> None:
    """Do the coordinator's half: one forward and one backward pass over all sites' activations."""
    sites = [channel.sites[batch.site] for batch in item.batches]
    heard = [channel.receive(s, Activations, b.position) for s, b in zip(sites, item.batches, strict=True)]
    sizes, front = [len(batch.records) for batch in item.batches], party.shapes["front"]
    tensors = [
        unpacked(party.run, up.tensor, (n, *front), s) for up, n, s in zip(heard, sizes, sites, strict=True)
    ]
    activations = torch.cat(tensors).requires_grad_()
    ((name, part),) = party.parts.items()
    output = part(activations, draw_of(party, item))
    if party.run.labels == "shared":
        several = zip(heard, sizes, sites, strict=True)
        labels = [labels_from(up.labels, n, party.run, s) for up, n, s in several]
        backward(_loss(party, item, output.split(sizes), labels))
    else:
        _through_heads(item, output, sizes, sites, channel)
        for batch in item.batches:
            party.count(0.0, len(batch.records), batch.site)
    gradients = cast(Tensor, activations.grad).split(sizes)
    for site, batch, gradient in zip(sites, item.batches, gradients, strict=True):
        heeded(party, batch.site, "gradient", length_of(gradient))
        channel.send(site, CutGradient(batch.position, sent(gradient)))
    summed = _sum_gradients(party, item, channel) if party.run.site_parts == "synchronous" else []
    optimizer = party.optimizers[name]
    shortened = alone(optimizer)
    if globally(party):
        shortened = told_shortening(party, optimizer, summed, _place(item, 0), channel)
    optimizer.descend(item.round, shortened)


def share_of(party: Party, item: JointBatch, batch: Batch) -> float:
    """Give a site's weight in the mean loss of a step."""
    if party.run.site_weights == "equal":
        return 1 / len(item.batches)
    return len(batch.records) / sum(len(each.records) for each in item.batches)


def _loss(party: Party, item: JointBatch, logits: tuple[Tensor, ...], labels: list[Tensor]) -> Tensor:
    total = torch.zeros((), device=logits[0].device)
    for batch, scores, truth in zip(item.batches, logits, labels, strict=True):
        loss = loss_of(scores, truth, party.class_weights)
        party.count(float(loss.detach()), len(batch.records), batch.site)
        total = total + share_of(party, item, batch) * loss
    return total


def _through_heads(
    item: JointBatch, output: Tensor, sizes: list[int], sites: list[str], channel: CoordinatorChannel
) -> None:
    pieces = output.detach().split(sizes)
    for site, batch, piece in zip(sites, item.batches, pieces, strict=True):
        channel.send(site, Features(batch.position, sent(piece)))
    gradients = [
        one(channel.receive(site, HeadGradient, batch.position).tensor, tuple(piece.shape), site)
        for site, batch, piece in zip(sites, item.batches, pieces, strict=True)
    ]
    backward(output, torch.cat(gradients))


def _forward_and_back(party: Party, item: JointBatch, mine: Batch, channel: SiteChannel) -> None:
    passed, loss = go_up(party, mine, channel), 0.0
    if party.run.labels == "private":
        loss = head_batch(party, mine, passed.labels, channel, share_of(party, item, mine))
    come_down(party, mine, passed, channel)
    party.count(loss, len(mine.records), party.index)


def _place(item: JointBatch, site: int) -> Position:
    return (item.trial, item.round, site, item.step)


def _add_up(party: Party, item: JointBatch, channel: SiteChannel, *, sends: bool) -> None:
    parameters = [each for part in party.parts.values() for each in part.parameters()]
    if sends:
        own = tuple(sent(cast(Tensor, each.grad)) for each in parameters)
        channel.send(Gradients(_place(item, party.index), own))
    heard = channel.receive(Gradients, _place(item, 0)).tensors
    shapes = [tuple(each.shape) for each in parameters]
    for parameter, gradient in zip(parameters, received(heard, shapes, "coordinator"), strict=True):
        parameter.grad = gradient.clone().to(parameter.device)


def _sum_gradients(party: Party, item: JointBatch, channel: CoordinatorChannel) -> list[Tensor]:
    """Add the sites' gradients in float64 in site order, and give everyone the sum."""
    total: list[Tensor] = []
    for batch in item.batches:
        site = channel.sites[batch.site]
        heard = channel.receive(site, Gradients, _place(item, batch.site)).tensors
        tensors = [each.double() for each in received(heard, party.site_parameters, site)]
        total = [a + b for a, b in zip(total, tensors, strict=True)] if total else tensors
    summed = [each.float() for each in total]
    channel.broadcast(Gradients(_place(item, 0), tuple(map(sent, summed))))
    return summed
