"""Averaging at a round's end: w <- sum_k (n_k / n) w_k over the sites that took part (McMahan 2017).

What is averaged are the sites' parts (sent up, sent down), the coordinator's copies of the back, one per
site, or both (SplitFed v1: both; v2: the sites' parts; v3: the copies of the back; Thapa 2022, Gawali 2021).
An optimizer over averaged tensors starts anew each round, as in FedAvg as published and in SplitFed's code,
or keeps its state.
"""

from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from itertools import repeat

import torch
from torch import Tensor

from coordinator.algorithms.norms import judged
from coordinator.algorithms.optimizers import Optimizer
from coordinator.algorithms.party import Party
from coordinator.algorithms.robust import aggregated
from coordinator.algorithms.secure_averaging import give_summand, hear_sum
from coordinator.algorithms.tensors import received, sent
from coordinator.algorithms.training import Mean, floats
from coordinator.models.stages import Part
from coordinator.protocol.channel import CoordinatorChannel
from coordinator.protocol.messages import Position, Weights
from coordinator.protocol.site_channel import SiteChannel
from coordinator.schedule import Average, Begin, LocalRound
from coordinator.walking import CatchUp

Shapes = Sequence[tuple[int, ...]]
AT_SITES = "site_parts"  # in `party.server`: the sites' parts as they were last averaged


def site_average(party: Party, item: Average, channel: SiteChannel) -> None:
    """Send this site's parts if it took part, and go on from the average."""
    if party.run.site_parts != "averaged":
        return
    own = [value for part in party.parts.values() for value in floats(part)]
    if party.index in item.sites:
        send_model(party, item, own, channel)
    average = channel.receive(Weights, position_of(item))
    fill(own, loaded(average, [tuple(value.shape) for value in own], "coordinator"))
    restart(party, item.trial)


def coordinator_average(party: Party, item: Average, channel: CoordinatorChannel) -> None:
    """Average what the sites send, and this side's copies of the back."""
    theirs: list[Tensor] = party.server.get(AT_SITES, [])
    if theirs and party.run.secure_aggregation:  # the sum alone is heard
        tell_average(party, item, hear_sum(party, item, channel, party.site_shapes), channel)
        theirs = []
    (back,) = party.parts.values()
    own = floats(back) if party.copies else []
    if not (theirs or own):
        return
    models = _models(party, item, channel, bool(theirs), bool(own))
    average = averaged(party, item, [*theirs, *(value.cpu() for value in own)], models)
    if theirs:
        tell_average(party, item, average[: len(theirs)], channel)
    if own:
        fill(own, average[len(theirs) :])
        copy_back(party, item.trial)


def _models(
    party: Party, item: Average, channel: CoordinatorChannel, heard: bool, own: bool
) -> Iterator[list[Tensor]]:
    """Give each site's parts as they are heard, and its copy of the back."""
    coming = gathered(item, channel, party.site_shapes) if heard else repeat(list[Tensor]())
    for site in item.sites:
        model = [*next(coming), *(value.cpu() for value in (floats(party.copies[site]) if own else []))]
        yield model
        del model  # not kept while the next one comes


def tell_average(party: Party, item: Average, average: list[Tensor], channel: CoordinatorChannel) -> None:
    """Give every site the average of the sites' parts, and keep it to measure the next updates from."""
    party.server[AT_SITES] = average
    channel.broadcast(weights_at(item, 0, average, sum(party.cohort.train)))


def averaged(party: Party, item: Average, x: list[Tensor], models: Iterator[list[Tensor]]) -> list[Tensor]:
    """Average the models that count, by the study's norms; where none does, x stays."""
    kept, average = summed_up(party, judged(party, item.sites, x, models))
    return average if has_average(party, kept, item) else x


def has_average(party: Party, kept: Sequence[int], item: Average | LocalRound) -> bool:
    """Say whether there is an average: not where the norms left out every site that has records."""
    return len(kept) == len(item.sites) or any(site_weights(party, kept))


def summed_up(party: Party, heard: Iterable[tuple[int, list[Tensor]]]) -> tuple[list[int], list[Tensor]]:
    """Aggregate models as they come, with the sites they are of; a mean keeps none of them."""
    kept, models, mean = list[int](), list[list[Tensor]](), Mean()
    for site, model in heard:
        kept.append(site)
        if party.run.aggregate == "mean":
            mean.add(model, *site_weights(party, [site]))
        else:
            models.append(model)
        del model  # not kept while the next one comes
    if party.run.aggregate == "mean":
        return kept, mean.value()
    return kept, aggregated(party.run, models, site_weights(party, kept))


def copy_back(party: Party, trial: int) -> None:
    """Let every site's copy of the back be the back as it is now."""
    (back,) = party.parts.values()
    for site, _ in enumerate(party.cohort.train):
        if site in party.copies:
            fill(floats(party.copies[site]), floats(back))
        else:
            party.copies[site] = deepcopy(back)
        if party.run.optimizer_state == "restarted" or site not in party.copy_optimizers:
            party.copy_optimizers[site] = optimizer_of(party, party.copies[site], trial)


def restart(party: Party, trial: int) -> None:
    """Start this party's optimizers anew, unless the study keeps their state."""
    if party.run.optimizer_state == "restarted":
        for name, part in party.parts.items():
            party.optimizers[name] = optimizer_of(party, part, trial)


def optimizer_of(party: Party, part: Part, trial: int) -> Optimizer:
    """Make an optimizer at a trial's learning rate."""
    return Optimizer(part, party.run.training, party.run.training.learning_rates[trial])


def send_model(
    party: Party, item: Average | LocalRound, tensors: Sequence[Tensor], channel: SiteChannel
) -> None:
    """Send this site's tensors, by themselves or as a part of the sum over the sites."""
    if party.run.secure_aggregation:
        (weight,) = site_weights(party, [party.index])
        give_summand(party, item, tensors, weight, channel)
    else:
        channel.send(weights_at(item, party.index, tensors, party.cohort.train[party.index]))


def gathered(
    item: Average | LocalRound, channel: CoordinatorChannel, shapes: Shapes
) -> Iterator[list[Tensor]]:
    """Hear the tensors of the sites that took part, in site order, each when it is asked for.

    Raises:
        ProtocolError: they are not of these shapes.
    """
    for index in item.sites:
        site = channel.sites[index]
        yield loaded(channel.receive(site, Weights, position_of(item, index)), shapes, site)


def site_weights(party: Party, sites: Sequence[int]) -> list[float]:
    """Give the sites' weights in an average: their training records, or 1 each; 0 for one that has none."""
    counts = [party.cohort.train[site] for site in sites]
    return [float(n if party.run.site_weights == "records" else n > 0) for n in counts]


def weights_at(item: Average | LocalRound, site: int, tensors: Sequence[Tensor], records: int) -> Weights:
    """Make the message with a model's tensors."""
    return Weights(position_of(item, site), tuple(map(sent, tensors)), records)


def loaded(weights: Weights, shapes: Shapes, sender: str) -> list[Tensor]:
    """Take a model's tensors out of a message.

    Raises:
        ProtocolError: they do not fit the model.
    """
    return received(weights.tensors, shapes, sender)


@torch.no_grad()
def fill(tensors: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    """Overwrite a model's tensors in place, so that the optimizer keeps knowing them."""
    for tensor, value in zip(tensors, values, strict=True):
        tensor.copy_(value)


def position_of(item: Begin | Average | LocalRound | CatchUp, site: int = 0) -> Position:
    """Place a model in the schedule."""
    return (item.trial, getattr(item, "round", -1), site, -1)
