"""Parts travel from site to site: parameters, buffers and, to who trains next, optimizer state."""

import numpy as np
from safetensors.torch import load, save
from torch import Tensor

from coordinator.algorithms.party import Party
from coordinator.algorithms.tensors import apart
from coordinator.errors import ProtocolError
from coordinator.protocol.channel import CoordinatorChannel
from coordinator.protocol.messages import Position, Sealed
from coordinator.protocol.seals import Purpose, Seals
from coordinator.protocol.site_channel import SiteChannel
from coordinator.schedule import HandOn
from coordinator.specs import digest
from coordinator.walking import CatchUp

OPTIMIZER = "optimizer/"


def give(party: Party, item: HandOn, channel: SiteChannel) -> None:
    """Seal this site's parts for each taker."""
    content = save(pack(party, optimizer=item.optimizer))
    for taker in item.takers:
        purpose = purpose_of(party, item, taker)
        box = np.frombuffer(sealer_of(party).seal(purpose, content), dtype=np.uint8)
        channel.send(Sealed(purpose.position, purpose.giver, purpose.taker, box))


def relay(item: HandOn | CatchUp, channel: CoordinatorChannel) -> None:
    """Pass sealed parts on, unread.

    Raises:
        ProtocolError: the giver named another giver or taker than the schedule.
    """
    giver = channel.sites[item.giver]
    for taker in item.takers:
        sealed = channel.receive(giver, Sealed, position_of(item, taker))
        if (sealed.giver, sealed.taker) != (giver, channel.sites[taker]):
            raise ProtocolError(
                f"'{giver}' addressed its parts to '{sealed.taker:.40}', not '{channel.sites[taker]}'", giver
            )
        channel.send(sealed.taker, sealed)


def take(party: Party, item: HandOn, channel: SiteChannel) -> None:
    """Open what was handed on, and go on from it."""
    sealed = channel.receive(Sealed, position_of(item, party.index))
    content = sealer_of(party).open(purpose_of(party, item, party.index), sealed.box.tobytes())
    unpack(party, load(content), optimizer=item.optimizer)


def pack(party: Party, *, optimizer: bool) -> dict[str, Tensor]:
    """Name every tensor of the party's parts, ``part/name``, and of their optimizers' state."""
    tensors = {
        f"{name}/{key}": value
        for name, part in party.parts.items()
        for key, value in part.state_dict().items()
    }
    if optimizer:
        for name, each in party.optimizers.items():
            tensors |= {f"{OPTIMIZER}{name}/{key}": value for key, value in each.state().items()}
    return apart(tensors)


def unpack(party: Party, tensors: dict[str, Tensor], *, optimizer: bool) -> None:
    """Put named tensors back into parts and, where it came along, optimizers' state.

    Raises:
        ProtocolError: they are not those of this party's parts.
    """
    for name, part in party.parts.items():
        try:
            part.load_state_dict(below(f"{name}/", tensors))
        except RuntimeError as error:
            raise ProtocolError(f"parts handed on do not fit '{name}': {error}") from None
    for name, each in party.optimizers.items():
        if optimizer:
            each.load(below(f"{OPTIMIZER}{name}/", tensors))


def common(party: Party) -> dict[str, list[str]]:
    """Name the tensors that all sites have alike once the parts were handed to everyone: all."""
    return {name: list(part.state_dict()) for name, part in party.parts.items()}


def below(start: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Give the tensors whose name starts so, under the rest of their names."""
    return {name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}


def sealer_of(party: Party) -> Seals:
    """Give the site's sealer; a party that hands parts on has one."""
    assert party.sealer is not None
    return party.sealer


def position_of(item: HandOn | CatchUp, taker: int) -> Position:
    """Place a hand-over in the schedule."""
    return (item.trial, item.round, item.giver, -2 - taker)


def purpose_of(party: Party, item: HandOn | CatchUp, taker: int) -> Purpose:
    """Say what a sealed box is for."""
    sites = party.run.sites
    return Purpose(digest(party.run), position_of(item, taker), sites[item.giver], sites[taker])
