"""How a cut network is scored: activations go up in evaluation batches, nothing is trained.

For validation the labels go where the loss is computed; for the final test they stay at the site and
the scores come back.
"""

from dataclasses import astuple

import torch
from torch import Tensor

from coordinator.algorithms.adapting import adapt_site, answer_adapting
from coordinator.algorithms.cohort import Rows
from coordinator.algorithms.party import Party, Validation, judged, restore, said, switch, unheard
from coordinator.algorithms.protecting import outgoing, outgoing_labels, packed, role_of, unpacked
from coordinator.algorithms.selection import announce, heed
from coordinator.algorithms.tensors import labels_from, one, sent
from coordinator.algorithms.training import evaluation_batches, loss_sum, ranked_pairs
from coordinator.privacy.guard import chosen
from coordinator.protocol.channel import CoordinatorChannel
from coordinator.protocol.messages import Activations, Features, Position, Scores, Validated
from coordinator.protocol.site_channel import SiteChannel
from coordinator.walking import has_trained


def site_validate(party: Party, at: Position, channel: SiteChannel) -> None:
    """Have the validation records scored, and hear whether this round's model is the best."""
    rows = party.rows.validation[0]
    switch(party, training=False)
    logits = have_scored(party, rows, at, channel, share_labels=party.run.labels == "shared")
    switch(party, training=True)
    if logits is not None:
        channel.send(Validated(at, *astuple(judged(party, party.index, logits, rows.labels))))
    heed(party, at[:2], channel)


@torch.inference_mode()
def have_scored(
    party: Party, rows: Rows, at: Position, channel: SiteChannel, *, share_labels: bool
) -> Tensor | None:
    """Send activations in evaluation batches; give the logits unless the coordinator has the labels."""
    found = [torch.empty(0, party.run.outputs)]
    for number, batch in enumerate(evaluation_batches(len(rows.labels))):
        position = (*at[:3], -1 - number)
        inputs, labels, role = rows.inputs[batch], rows.labels[batch], role_of(at)
        records = chosen(batch, len(rows.labels))
        party.records_scored += len(labels)
        leaving = outgoing(party, party.parts["front"](inputs), position, role, records)
        shared = sent(outgoing_labels(party, labels, rows, records, role)) if share_labels else None
        channel.send(Activations(position, packed(party.run, leaving), shared))
        if "head" in party.parts:
            features = channel.receive(Features, position).tensor
            found.append(
                party.parts["head"](
                    one(features, (len(labels), *party.shapes["middle"]), "coordinator")
                ).cpu()
            )
        elif not share_labels:
            shape = (len(labels), party.run.outputs)
            found.append(one(channel.receive(Scores, position).tensor, shape, "coordinator"))
    return None if share_labels else torch.cat(found)


def coordinator_validate(party: Party, at: tuple[int, int], channel: CoordinatorChannel) -> None:
    """Score every site's validation records in site order, select, and tell the sites."""
    switch(party, training=False)
    found = [
        unheard() if index in party.gone else validate_site(party, (*at, index, -1), channel)
        for index in range(len(channel.sites))
    ]
    switch(party, training=True)
    announce(party, found, at, channel)


def validate_site(party: Party, at: Position, channel: CoordinatorChannel) -> Validation:
    """Score one site's validation records; with private labels the site says how it went."""
    index = at[2]
    count = party.cohort.validation[index]
    if party.run.labels == "shared":
        scored = score_for(party, at, count, channel, labels_come=True)
        loss = sum((loss_sum(*each, party.class_weights) for each in scored), 0.0)
        logits = torch.cat([torch.empty(0, party.run.outputs), *(output for output, _ in scored)])
        labels = torch.cat([torch.empty(0), *(truth for _, truth in scored)])
        return Validation(
            *party.take_losses(index), loss, count, *ranked_pairs(logits, labels, party.run.min_cell)
        )
    score_for(party, at, count, channel, labels_come=False)
    return said(party, channel.receive(channel.sites[index], Validated, at), channel.sites[index])


@torch.inference_mode()
def score_for(
    party: Party, at: Position, count: int, channel: CoordinatorChannel, *, labels_come: bool
) -> list[tuple[Tensor, Tensor]]:
    """Run a site's activations through the coordinator's part; give logits and labels where these come."""
    site, scored = channel.sites[at[2]], list[tuple[Tensor, Tensor]]()
    (part,) = party.parts.values()
    for number, batch in enumerate(evaluation_batches(count)):
        position = (*at[:3], -1 - number)
        size = min(batch.stop, count) - batch.start
        up = channel.receive(site, Activations, position)
        output = part(unpacked(party.run, up.tensor, (size, *party.shapes["front"]), site))
        party.records_scored += size
        if "middle" in party.parts:
            channel.send(site, Features(position, sent(output)))
        elif labels_come:
            scored.append((output.cpu(), labels_from(up.labels, size, party.run, site)))
        else:
            channel.send(site, Scores(position, sent(output)))
    return scored


def site_predict(party: Party, channel: SiteChannel) -> list[Tensor]:
    """Give the best model's test logits (records, outputs) by hospital, adapted first if the run does."""
    restore(party)
    adapted = adapt_site(party, channel)
    rows = party.rows.test[0]
    logits = have_scored(party, rows, (-1, -1, party.index, -1), channel, share_labels=False)
    assert logits is not None
    trained = has_trained(party.run, party.cohort.train, party.away, party.index, party.kept_at)
    if party.run.site_parts == "private" and not (trained or adapted):
        party.parts.clear()  # its own layers have never trained: no model of this study
        return [torch.full_like(logits, torch.nan)]
    return [logits]


def coordinator_predict(party: Party, channel: CoordinatorChannel) -> None:
    """Score every site's test records, in site order, once its layers are adapted."""
    restore(party)
    for index in party.here:
        answer_adapting(party, index, channel)
        score_for(party, (-1, -1, index, -1), party.cohort.test[index], channel, labels_come=False)
