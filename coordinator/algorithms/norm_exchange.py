"""How parties of a cut network clip by the length of a gradient that none of them holds (`scope: global`).

Before the step they tell each other one length per tensor. Each puts all of them in the model's order and
combines them by the same operation, so that all shorten by the same number, to the bit, and by the one that
an uncut model would. With `scope: party` nothing is told: each party shortens by its own length.
"""

from typing import cast

import torch
from torch import Tensor

from coordinator.algorithms.clipping import alone, shortening
from coordinator.algorithms.optimizers import Optimizer
from coordinator.algorithms.party import Party
from coordinator.algorithms.tensors import one, sent
from coordinator.config import Clip
from coordinator.protocol.channel import CoordinatorChannel
from coordinator.protocol.messages import Norms, Position
from coordinator.protocol.site_channel import SiteChannel


def globally(party: Party) -> Clip | None:
    """Give the limit of the whole model's gradient, where the parties must combine their lengths."""
    clip = party.run.training.clip
    return clip if clip is not None and clip.scope == "global" else None


def site_shortening(party: Party, at: Position, channel: SiteChannel) -> Tensor | None:
    """Give a site the factor for its step; tell the coordinator its parts' lengths if it takes both."""
    own = tuple(party.optimizers.values())
    if globally(party) is None:
        return alone(*own)
    channel.send(Norms(at, sent(torch.cat([each.norms() for each in own]))))
    return heard_shortening(party, at, channel)


def heard_shortening(party: Party, at: Position, channel: SiteChannel) -> Tensor | None:
    """Give a site the factor for its step, from its own lengths and those the coordinator tells."""
    clip, own = globally(party), tuple(party.optimizers.values())
    if clip is None:
        return alone(*own)
    middle = one(channel.receive(Norms, at).values, (party.tensors["middle"],), "coordinator")
    return shortening(clip, in_order(party, torch.cat([each.norms() for each in own]), middle))


def coordinator_shortening(
    party: Party, optimizer: Optimizer, at: Position, channel: CoordinatorChannel
) -> Tensor | None:
    """Give the coordinator the factor for its step; hear the site's lengths if it takes both."""
    clip = globally(party)
    if clip is None:
        return alone(optimizer)
    site, middle = channel.sites[at[2]], optimizer.norms()
    channel.send(site, Norms(at, sent(middle)))
    count = party.tensors["front"] + party.tensors["head"]
    return shortening(
        clip, in_order(party, one(channel.receive(site, Norms, at).values, (count,), site), middle)
    )


def told_shortening(
    party: Party, optimizer: Optimizer, summed: list[Tensor], at: Position, channel: CoordinatorChannel
) -> Tensor:
    """Give the coordinator the factor for a joint step, from the sum of the sites' gradients that it has."""
    middle = optimizer.norms()
    channel.broadcast(Norms(at, sent(middle)))
    outer = torch.stack([torch.linalg.vector_norm(gradient) for gradient in summed])
    return shortening(cast(Clip, optimizer.training.clip), in_order(party, outer, middle))


def in_order(party: Party, outer: Tensor, middle: Tensor) -> Tensor:
    """Put the lengths of a site's parts (front, then head) and of the coordinator's in the model's order."""
    front = party.tensors["front"]
    return torch.cat([outer[:front], middle, outer[front:]])
