"""A party's whole state as a tree of tensors and plain values, and a party that goes on from one.

Everything that a later step, selection or account depends on is here; what follows from the run alone
(shapes, class weights) is built anew by the trial's Begin.
"""

from dataclasses import asdict
from typing import Any, Final

from coordinator.algorithms.optimizers import Optimizer
from coordinator.algorithms.party import Party, Validation, Waiting
from coordinator.models.stages import Part

# plain values, which a tree holds as they are
COUNTED: Final = ("best_loss", "stopped", "ended", "steps", "records_trained", "records_scored")
PLACES: Final = ("best_at", "kept_at")


def state_of(party: Party) -> dict[str, Any]:
    """Give a party's state; the tensors are the party's own, not copies."""
    return {
        "parts": _parts(party.parts),
        "optimizers": _optimizers(party.optimizers),
        "copies": _parts(party.copies),
        "copy_optimizers": _optimizers(party.copy_optimizers),
        "best": party.best,
        "server": party.server,
        "waiting": asdict(party.waiting),
        "apart": {site: asdict(each) for site, each in party.apart.items()},
        "rounds": [[asdict(each) for each in found] for found in party.rounds],
        "losses": party.losses,
        "measured": party.measured,
        "stopped_alone": party.stopped_alone,
        **{name: getattr(party, name) for name in (*COUNTED, *PLACES)},
    }


def go_on(party: Party, state: dict[str, Any]) -> None:
    """Put a party that has begun its trial into a state that it, or one like it, was in."""
    _fill(party.parts, party.optimizers, state["parts"], state["optimizers"])
    _fill(party.copies, party.copy_optimizers, state["copies"], state["copy_optimizers"])
    party.best, party.server = state["best"], state["server"]
    party.waiting = Waiting(**state["waiting"])
    party.apart = {site: Waiting(**each) for site, each in state["apart"].items()}
    party.rounds = [[Validation(**each) for each in found] for found in state["rounds"]]
    party.losses = {site: tuple(each) for site, each in state["losses"].items()}
    party.measured = {site: tuple(each) for site, each in state["measured"].items()}
    party.stopped_alone = state["stopped_alone"]
    for name in COUNTED:
        setattr(party, name, state[name])
    for name in PLACES:
        setattr(party, name, tuple(state[name]))


def _parts(parts: dict[Any, Part]) -> dict[Any, Any]:
    return {name: dict(part.state_dict()) for name, part in parts.items()}


def _optimizers(optimizers: dict[Any, Optimizer]) -> dict[Any, Any]:
    return {name: each.state() for name, each in optimizers.items()}


def _fill(
    parts: dict[Any, Part], optimizers: dict[Any, Optimizer], tensors: dict[Any, Any], moments: dict[Any, Any]
) -> None:
    for name, part in parts.items():
        part.load_state_dict(tensors[name])
    for name, each in optimizers.items():
        each.load(moments[name])
