"""Federated averaging and its kin: a server rule (`server_rules`) and a hook in the one training loop.

FedProx adds mu/2 |w - x|^2 to each site's loss (Li 2020, eq. 2); SCAFFOLD adds c - c_i to each gradient
(Karimireddy 2020); FedBN leaves normalisation layers at the sites (Li 2021); the others differ at the server.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from coordinator.algorithms.adapting import predict_adapted
from coordinator.algorithms.averaging import (
    fill,
    gathered,
    has_average,
    loaded,
    optimizer_of,
    position_of,
    send_model,
    site_weights,
    summed_up,
    weights_at,
)
from coordinator.algorithms.local import batches_here, hear, report, train_here
from coordinator.algorithms.norms import judged
from coordinator.algorithms.party import (
    Party,
    Stages,
    begin,
    restore,
    validate_whole,
    whole,
)
from coordinator.algorithms.secure_averaging import hear_sum
from coordinator.algorithms.selection import announce, heed
from coordinator.algorithms.server_rules import RULES, RULES_OF_EACH, correction
from coordinator.algorithms.tensors import received, sent
from coordinator.algorithms.training import floats
from coordinator.models.stages import Part, Shape
from coordinator.protocol.channel import CoordinatorChannel
from coordinator.protocol.messages import Control, Weights
from coordinator.protocol.site_channel import SiteChannel
from coordinator.schedule import Begin, Item, LocalRound
from coordinator.specs import Run
from coordinator.walking import CatchUp

__all__ = [
    "common", "coordinator_predict", "coordinator_step", "parts_of", "rehear", "resend", "site_predict",
    "site_step",
]  # fmt: skip

NORMALISING = (
    nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm, nn.GroupNorm, nn.LayerNorm,
    nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d,
)  # fmt: skip


def parts_of(run: Run, shape: Shape = ()) -> tuple[Stages, Stages]:
    """Say which stages the site holds and which the coordinator: all, both."""
    return whole(run), whole(run)


def coordinator_step(party: Party, item: Item, channel: CoordinatorChannel) -> Party:
    """One round: hear y_i from the sites that take part, x <- rule(x, y_i), give x to all."""
    match item:
        case Begin():
            party.server = {}
            return begin(party, item, whole(party.run))
        case LocalRound():
            x = shared(party)
            before = [value.cpu() for value in x]
            fill(x, next_model(party, item, before, channel))
            channel.broadcast(weights_at(item, 0, x, sum(party.cohort.train)))
            send_corrections(party, item, channel)
        case _:
            at = (item.trial, item.round)
            announce(party, hear(party, channel, at), at, channel)
    return party


def next_model(party: Party, item: LocalRound, x: list[Tensor], channel: CoordinatorChannel) -> list[Tensor]:
    """Give x for the next round from the models that count; where none does it stays."""
    shapes, rule = [tuple(value.shape) for value in x], RULES.get(party.run.rule)
    if rule and party.run.secure_aggregation:  # their mean alone is heard
        return rule(party, x, hear_sum(party, item, channel, shapes))
    heard = judged(party, item.sites, x, gathered(item, channel, shapes))  # in site order
    if rule:
        kept, average = summed_up(party, heard)
        return rule(party, x, average) if has_average(party, kept, item) else x
    found = list(heard)
    kept, models = [site for site, _ in found], [model for _, model in found]
    if not has_average(party, kept, item):
        return x
    item = replace(item, sites=tuple(kept))
    return RULES_OF_EACH[party.run.rule](party, item, x, models, site_weights(party, kept))


def site_step(party: Party, item: Item, channel: SiteChannel) -> Party:
    """Train E local epochs from x, send the result, take the new x."""
    match item:
        case Begin():
            party.server = {}
            return begin(party, item, whole(party.run))
        case LocalRound():
            if party.index in item.sites:
                train_round(party, item)
                send_model(party, item, shared(party), channel)
            average = channel.receive(Weights, position_of(item))
            x = shared(party)
            fill(x, loaded(average, [tuple(value.shape) for value in x], "coordinator"))
            rehear(party, item, channel)
        case _:
            report(validate_whole(party), (item.trial, item.round), channel, party.index)
            heed(party, (item.trial, item.round), channel)
    return party


def site_predict(party: Party, channel: SiteChannel) -> list[Tensor]:
    """Give the average's test logits (records, outputs); a site that trained nothing has the average too.

    Under FedBN it has not where layers stay apart: nobody trained those of its own, and it is not scored.
    """
    if not party.cohort.train[party.index] and len(shared(party)) < len(floats(party.parts["model"])):
        party.parts.clear()
        return [torch.full((len(rows.labels), party.run.outputs), torch.nan) for rows in party.rows.test]
    return predict_adapted(party)


def coordinator_predict(party: Party, channel: CoordinatorChannel) -> None:
    """Go back to the best average, as the sites do; they score it themselves."""
    restore(party)


def train_round(party: Party, item: LocalRound) -> None:
    """Walk this site's batches, with a fresh optimizer where its state is not kept."""
    if party.run.optimizer_state == "restarted":
        party.optimizers["model"] = optimizer_of(party, party.parts["model"], item.trial)
    extra, correct = proximal(party), corrected(party)
    for batch in batches_here(party, item):
        train_here(party, batch, extra, correct)


def shared(party: Party) -> list[Tensor]:
    """List the tensors that travel: all floating-point ones, or all but normalisation layers' (FedBN)."""
    state = party.parts["model"].state_dict()
    return [state[name] for name in shared_names(party)]


def common(party: Party) -> dict[str, list[str]]:
    """Name the tensors that all sites have alike at a round's end."""
    return {"model": shared_names(party)}


def shared_names(party: Party) -> list[str]:
    """Name the tensors that travel."""
    model = party.parts["model"]
    private = {
        f"{name}.{key}"
        for name, module in model.named_modules()
        if party.run.rule == "fedbn" and isinstance(module, NORMALISING)
        for key in module.state_dict()
    }
    state = model.state_dict()
    return [name for name, v in state.items() if v.is_floating_point() and name not in private]


def proximal(party: Party) -> Callable[[Part], Tensor] | None:
    """Give FedProx's term mu/2 |w - x|^2 around the model as it is now, or None where mu is 0."""
    mu = party.run.proximal_mu
    if not mu:
        return None
    centre = [parameter.detach().clone() for parameter in party.parts["model"].parameters()]

    def term(model: Part) -> Tensor:
        squares = [((w - x) ** 2).sum() for w, x in zip(model.parameters(), centre, strict=True)]
        return mu / 2 * torch.stack(squares).sum()

    return term


def corrected(party: Party) -> Callable[[Part], None] | None:
    """Give what adds SCAFFOLD's c - c_i to the gradients, or None before the first correction."""
    if "correction" not in party.server:
        return None
    corrections: dict[str, Tensor] = party.server["correction"]

    def add(model: Part) -> None:
        for name, parameter in model.named_parameters():
            if parameter.grad is not None:
                parameter.grad += corrections[name].to(parameter.device)

    return add


def send_corrections(party: Party, item: LocalRound, channel: CoordinatorChannel) -> None:
    """Tell each site c - c_i (SCAFFOLD)."""
    for index in party.here:
        resend(party, item, index, channel)


def resend(party: Party, item: LocalRound | CatchUp, site: int, channel: CoordinatorChannel) -> None:
    """Tell one site its c - c_i (SCAFFOLD)."""
    if party.run.rule == "scaffold":
        tensors = tuple(map(sent, correction(party, shared(party), site)))
        channel.send(channel.sites[site], Control(position_of(item, site), tensors))


def rehear(party: Party, item: LocalRound | CatchUp, channel: SiteChannel) -> None:
    """Hear c - c_i (SCAFFOLD)."""
    if party.run.rule == "scaffold":
        model = party.parts["model"]
        named = {name: value for name, value in model.state_dict().items() if value.is_floating_point()}
        heard = channel.receive(Control, position_of(item, party.index)).tensors
        tensors = received(heard, [tuple(value.shape) for value in named.values()], "coordinator")
        party.server["correction"] = dict(zip(named, tensors, strict=True))
