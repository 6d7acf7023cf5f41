"""A site that comes back goes on from what the others have, and with what is its own as it left it.

It gets, sealed, from a site that stayed: the tensors that all sites have alike at a round's end, as they are
now and as they were in the best round; with the optimizer's state where that is common too. Its own stay as
old as they are: private parts, normalisation layers under FedBN, buffers, an optimizer whose state is kept,
SCAFFOLD's c_i. The coordinator says what was decided meanwhile. If the best round is one that it missed, its
own share of that model is what it had then: what it left with, or in a later trial of the grid what that
trial began with.

An algorithm says what is common (`common`), and what else its two halves tell each other (`resend`,
`rehear`).
"""

from typing import Any

import numpy as np
from safetensors.torch import load, save
from torch import Tensor

from coordinator.algorithms.handing_on import below, position_of, purpose_of, relay, sealer_of
from coordinator.algorithms.party import Left, Party
from coordinator.algorithms.tensors import apart
from coordinator.errors import ProtocolError
from coordinator.protocol.channel import CoordinatorChannel
from coordinator.protocol.messages import Missed, Sealed
from coordinator.protocol.site_channel import SiteChannel
from coordinator.specs import Run
from coordinator.walking import CatchUp, hands_on, keeps_apart

States = dict[str, dict[str, Tensor]]
NOW, BEST, OPTIMIZER = "now/", "best/", "optimizer/"


def leave(party: Party, trial: int) -> Left | None:
    """Remember what a site has when it leaves, in which trial; nothing where it has not begun."""
    return Left(trial, _states(party)) if party.parts else None


def let_in(party: Party, item: CatchUp, channel: CoordinatorChannel, module: Any) -> None:
    """Tell a site that is back what it missed, and pass on what another one gives it.

    Raises:
        ProtocolError: no site is there that could.
    """
    (taker,), shares = item.takers, not keeps_apart(party.run)
    if shares and item.giver < 0:
        raise ProtocolError(
            f"'{channel.sites[taker]}' is back, and no site stayed that has what it needs; a participation "
            "that a run recorded always leaves one"
        )
    channel.send(channel.sites[taker], Missed(position_of(item, taker), party.best_at, party.stopped))
    if shares:
        relay(item, channel)
    module.resend(party, item, taker, channel)


def catch_up(party: Party, item: CatchUp, channel: SiteChannel, module: Any) -> None:
    """Give a site that is back what this one has, or, if it is this one, take it."""
    if party.index == item.giver and not keeps_apart(party.run):
        _give(party, item, channel, module.common(party))
    elif party.index in item.takers:
        _take(party, item, channel, module.common(party))
        module.rehear(party, item, channel)


def moves_optimizer(run: Run) -> bool:
    """Say whether the sites' optimizers have the same state at a round's end."""
    return hands_on(run) or (run.algorithm == "split" and run.site_parts == "synchronous")


def _give(party: Party, item: CatchUp, channel: SiteChannel, names: dict[str, list[str]]) -> None:
    found = {f"{NOW}{part}/{name}": value for part, name, value in _chosen(_states(party), names)}
    found |= {f"{BEST}{part}/{name}": value for part, name, value in _chosen(party.best, names)}
    if moves_optimizer(party.run):
        for part, each in party.optimizers.items():
            found |= {f"{OPTIMIZER}{part}/{name}": value for name, value in each.state().items()}
    purpose = purpose_of(party, item, item.takers[0])
    box = np.frombuffer(sealer_of(party).seal(purpose, save(apart(found))), dtype=np.uint8)
    channel.send(Sealed(purpose.position, purpose.giver, purpose.taker, box))


def _take(party: Party, item: CatchUp, channel: SiteChannel, names: dict[str, list[str]]) -> None:
    at, tensors = position_of(item, party.index), {}
    missed = channel.receive(Missed, at)
    own = _states(party)
    if party.left and party.left.trial == missed.best_at[0]:
        own = party.left.parts
    if not keeps_apart(party.run):
        sealed = channel.receive(Sealed, at)
        tensors = load(sealer_of(party).open(purpose_of(party, item, party.index), sealed.box.tobytes()))
        _check(tensors, NOW, names)
        _fill(party, tensors)
    if missed.best_at != party.kept_at:
        if tensors:
            _check(tensors, BEST, names)
        party.best = {name: {**part, **below(f"{BEST}{name}/", tensors)} for name, part in own.items()}
        party.kept_at = missed.best_at
    party.stopped, party.left = missed.stopped, None


def _fill(party: Party, tensors: dict[str, Tensor]) -> None:
    for name, part in party.parts.items():
        part.load_state_dict({**part.state_dict(), **below(f"{NOW}{name}/", tensors)})
    if moves_optimizer(party.run):
        for name, each in party.optimizers.items():
            each.load(below(f"{OPTIMIZER}{name}/", tensors))


def _check(tensors: dict[str, Tensor], kind: str, names: dict[str, list[str]]) -> None:
    for part, wanted in names.items():
        if set(below(f"{kind}{part}/", tensors)) != set(wanted):
            raise ProtocolError(f"what another site gave does not fit '{part}'; run one version everywhere")


def _states(party: Party) -> States:
    return {
        name: {key: value.detach().clone() for key, value in part.state_dict().items()}
        for name, part in party.parts.items()
    }


def _chosen(found: States, names: dict[str, list[str]]) -> list[tuple[str, str, Tensor]]:
    return [(part, name, found[part][name]) for part in found for name in names[part]]
