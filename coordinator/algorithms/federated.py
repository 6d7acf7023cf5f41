"""Federated averaging and, later, its kin: a server rule and a hook in the one training loop."""

import torch
from torch import Tensor

from coordinator.algorithms.local import (
    batches_here,
    coordinator_predict,
    hear,
    report,
    site_predict,
    train_here,
)
from coordinator.algorithms.optimizers import Optimizer
from coordinator.algorithms.party import Party, begin, keep, select, validate_whole, whole
from coordinator.algorithms.tensors import received, sent
from coordinator.algorithms.training import floats, weighted_mean
from coordinator.protocol.channel import CoordinatorChannel, SiteChannel
from coordinator.protocol.messages import Position, Verdict, Weights
from coordinator.schedule import Begin, Item, LocalRound

__all__ = ["coordinator_predict", "coordinator_step", "site_predict", "site_step"]


def coordinator_step(party: Party, item: Item, channel: CoordinatorChannel) -> Party:
    """One round: w <- sum_k (n_k / n) w_k  (McMahan 2017, algorithm 1)."""
    match item:
        case Begin():
            return begin(party, item, whole(party.run))
        case LocalRound():
            model = party.parts["model"]
            updates = channel.gather(Weights, _at(item))  # in site order
            models = [load(update, model, site) for update, site in zip(updates, channel.sites, strict=True)]
            fill(floats(model), weighted_mean(models, site_weights(party)))
            channel.broadcast(Weights(_at(item), tuple(map(sent, floats(model))), sum(party.cohort.train)))
        case _:
            best = select(party, hear(party, channel, (item.trial, item.round)), (item.trial, item.round))
            channel.broadcast(Verdict(_at(item), best))
            if best:
                keep(party)
    return party


def site_step(party: Party, item: Item, channel: SiteChannel) -> Party:
    """Train E local epochs from the average, send the result, take the new average."""
    match item:
        case Begin():
            return begin(party, item, whole(party.run))
        case LocalRound():
            train_round(party, item)
            model = party.parts["model"]
            own = party.cohort.train[party.index]
            channel.send(Weights(_at(item, party.index), tuple(map(sent, floats(model))), own))
            average = channel.receive(Weights, _at(item))
            fill(floats(model), load(average, model, "coordinator"))
        case _:
            report(validate_whole(party), (item.trial, item.round), channel, party.index)
            if channel.receive(Verdict, _at(item)).best:
                keep(party)
    return party


def train_round(party: Party, item: LocalRound) -> None:
    """Walk this site's batches, with a fresh optimizer where its state is not kept."""
    if party.run.optimizer_state == "restarted":
        rate = party.run.training.learning_rates[item.trial]
        party.optimizers["model"] = Optimizer(party.parts["model"], party.run.training, rate)
    for batch in batches_here(party, item):
        train_here(party, batch)


def site_weights(party: Party) -> list[float]:
    """Give the sites' weights in an average: their training records, or 1 each."""
    return [float(n) if party.run.site_weights == "records" else 1.0 for n in party.cohort.train]


def load(weights: Weights, like: torch.nn.Module, sender: str) -> list[Tensor]:
    """Take a model's tensors out of a message.

    Raises:
        ProtocolError: they do not fit the model.
    """
    return received(weights.tensors, [tuple(value.shape) for value in floats(like)], sender)


@torch.no_grad()
def fill(tensors: list[Tensor], values: list[Tensor]) -> None:
    """Overwrite a model's tensors in place, so that the optimizer keeps knowing them."""
    for tensor, value in zip(tensors, values, strict=True):
        tensor.copy_(value)


def _at(item: Item, site: int = 0) -> Position:
    return (item.trial, getattr(item, "round", -1), site, -1)
