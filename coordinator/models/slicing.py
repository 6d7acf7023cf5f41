"""A network that is built in one piece, as the finest stages it can be cut into without rewriting it.

A stage ends wherever one tensor is on its way and a submodule's name says where that is. torch's pipeline
splitter (torch.distributed.pipelining) also cuts by name, but fixes the batch's size and what dropout does at
the moment of cutting; here a stage is the network's own submodule wherever that is possible.
"""

from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any

import torch
from torch import Tensor, fx, nn

from coordinator.errors import ConfigError
from coordinator.models.stages import DRAWING, Shape, Together, Value, out_of_place
from coordinator.models.tracing import traced

EXAMPLES = 3  # records passed through to see what crosses each boundary
LAST = "output"  # what the last stage is called if no submodule gives its result
_TRACING = Lock()  # torch.fx patches nn.Module while it follows one
_known: dict[str, "Sliced"] = {}


@dataclass(frozen=True)
class Step:
    """A submodule as it stands, or some calls of its forward."""

    path: str
    graph: fx.Graph | None = None


@dataclass(frozen=True)
class Unit:
    """Steps in a row; without a name, no cut can be made after them."""

    name: str | None
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Sliced:
    """A network's stages, and why one cannot cut elsewhere, by submodule; `inside` is of what is in one."""

    units: tuple[Unit, ...]
    refused: dict[str, str]
    inside: dict[str, str]


def together(make: Callable[[], nn.Module], shape: Shape, name: str, outputs: int = 1) -> Together:
    """Describe the stages of a network; ``name`` tells networks apart, so that each is followed once.

    Raises:
        ConfigError: it does not give (batch, outputs) logits of records of this shape.
    """

    def made() -> nn.Module:
        return out_of_place(make())

    with _TRACING:
        known_as = f"{name} {outputs}"
        if known_as not in _known:
            with DRAWING:  # a new network draws its first parameters
                network = made()
            _known[known_as] = sliced(network, _examples(shape), outputs)
    found = _known[known_as]
    return Together(
        tuple(str(unit.name) for unit in found.units),
        lambda: stages_of(made(), found.units),
        lambda name: why_not(found, name),
    )


def _examples(shape: Shape) -> Value:
    # not zeros: what changes its input in place often leaves those
    draws = torch.Generator().manual_seed(0)
    if isinstance(shape, dict):
        return {name: torch.randn(EXAMPLES, *each, generator=draws) for name, each in shape.items()}
    return torch.randn(EXAMPLES, *shape, generator=draws)


def sliced(network: nn.Module, example: Value, outputs: int = 1) -> Sliced:
    """Find a network's stages.

    Raises:
        ConfigError: what it gives for the example is not logits, or changes the example.
    """
    refused: dict[str, str] = {}
    inside: dict[str, str] = {}
    units = _named(_units(network, "", refused, inside), LAST)
    for reasons in (_tied(network, units), _seen(network, units, example)):
        refused |= {str(units[place].name): reason for place, reason in reasons.items()}
        units = _joined(units, reasons)
    _check_whole(network, units, example, outputs)
    return Sliced(tuple(units), refused, inside)


def stages_of(network: nn.Module, units: Iterable[Unit]) -> dict[str, nn.Module]:
    """Take a network apart."""
    return {str(unit.name): _module(network, unit) for unit in units}


def why_not(found: Sliced, name: str) -> str:
    """Say why there is no cut after a name."""
    parts = name.split(".")
    above = [".".join(parts[:length]) for length in range(len(parts), 0, -1)]
    if name in found.refused:
        return found.refused[name]
    for path in above[1:]:
        if path in found.refused:
            return f"it lies inside '{path}', and there {found.refused[path]}"
        if path in found.inside:
            return f"it lies inside '{path}', and {found.inside[path]}"
        if any(path == unit.name for unit in found.units):
            return f"it lies inside '{path}', or ends where that ends"
    if "" in found.inside:
        return f"the network is in one piece, since {found.inside['']}"
    return "the network has no such submodule, or does not call it"


def _units(network: nn.Module, path: str, refused: dict[str, str], inside: dict[str, str]) -> list[Unit]:
    whole = Unit(path or None, (Step(path),))
    found = traced(network.get_submodule(path))
    if isinstance(found, str):
        inside[path] = found
        return [whole]
    refused |= {_below(path, child): reason for child, reason in found.refused.items()}
    units: list[Unit] = []
    for piece in found.pieces:
        child = _below(path, piece.child) if piece.child else None
        if piece.alone and child:
            units += _units(network, child, refused, inside)
        else:
            units.append(Unit(child, (Step(path, piece.graph),)))
    if path:
        units = _named(units, path)
    return units if len(units) > 1 or not path else [whole]


def _below(path: str, child: str) -> str:
    return f"{path}.{child}" if path else child


def _named(units: Sequence[Unit], last: str) -> list[Unit]:
    """Put nameless units before the next one with a name; the last is called as its surroundings are."""
    found: list[Unit] = []
    steps: tuple[Step, ...] = ()
    for place, unit in enumerate(units):
        steps += unit.steps
        if place == len(units) - 1:
            name = unit.name if unit.name and last == LAST else last
            found.append(Unit(name, steps))
        elif unit.name:
            found.append(Unit(unit.name, steps))
            steps = ()
    return found


def _joined(units: Sequence[Unit], reasons: dict[int, str]) -> list[Unit]:
    """Leave out the boundaries after the given places."""
    last = units[-1].name
    nameless = [replace(unit, name=None) if i in reasons else unit for i, unit in enumerate(units)]
    return _named(nameless, str(last) if last else LAST)


def _module(network: nn.Module, unit: Unit) -> nn.Module:
    modules = [
        network.get_submodule(step.path)
        if step.graph is None
        else fx.GraphModule(network.get_submodule(step.path), deepcopy(step.graph))
        for step in unit.steps
    ]
    return modules[0] if len(modules) == 1 else nn.Sequential(*modules)


def _tied(network: nn.Module, units: Sequence[Unit]) -> dict[int, str]:
    """Find the boundaries between two uses of one parameter or buffer."""
    names = {id(value): name for name, value in network.state_dict(keep_vars=True).items()}
    uses: dict[int, list[int]] = {}
    for place, unit in enumerate(units):
        for value in _module(network, unit).state_dict(keep_vars=True).values():
            uses.setdefault(id(value), []).append(place)
    return {
        place: f"weights are tied across it: '{names.get(value, 'a parameter')}' is used before and after"
        for value, places in uses.items()
        for place in range(min(places), max(places))
    }


@torch.no_grad()
def _seen(network: nn.Module, units: Sequence[Unit], value: Value) -> dict[int, str]:
    """Find the boundaries that something else than one float32 tensor of the records crosses."""
    found: dict[int, str] = {}
    network.eval()
    for place, unit in enumerate(units):
        before = value.clone() if isinstance(value, Tensor) else None
        given = _module(network, unit)(value)
        if before is not None and isinstance(value, Tensor) and not torch.equal(before, value):
            found[place - 1] = "what it gives is changed in place right after it"
        if place < len(units) - 1 and (problem := _not_a_record_s(given)):
            found[place] = problem
        value = given
    if -1 in found:
        raise ConfigError("the model changes its input in place; make its first layer leave it as it is")
    return found


def _not_a_record_s(value: object) -> str | None:
    if not isinstance(value, Tensor):
        return f"it gives a {type(value).__name__}, not one tensor"
    if value.dtype != torch.float32 or value.dim() < 2 or value.shape[0] != EXAMPLES:
        return f"it gives {value.dtype} {tuple(value.shape)} for {EXAMPLES} records, not float32 by record"
    return None


@torch.no_grad()
def _check_whole(network: nn.Module, units: Sequence[Unit], example: Value, outputs: int) -> None:
    value: object = example
    given = network.eval()(deepcopy(example))
    if not isinstance(given, Tensor) or given.shape != (EXAMPLES, outputs):
        shape = tuple(given.shape) if isinstance(given, Tensor) else type(given).__name__
        raise ConfigError(
            f"the model gives {shape} for {EXAMPLES} records, expected ({EXAMPLES}, {outputs}): "
            + ("one logit a record" if outputs == 1 else "a logit for each class")
        )
    for stage in stages_of(network, units).values():
        value = stage(value)
    if not (isinstance(value, Tensor) and torch.equal(given, value)):
        raise ConfigError("the model gives something else stage by stage; it cannot be cut")
    if idle := _idle(stages_of(network, units), example):
        raise ConfigError(
            f"'{idle[0]}' of the model gets no gradient: it is frozen or not used, and no arm could train "
            "it; let it take part, or keep it as a buffer"
        )


@torch.enable_grad()
def _idle(stages: dict[str, nn.Module], value: Any) -> list[str]:
    for stage in stages.values():
        value = stage(value)
    if value.requires_grad:
        value.sum().backward()
    named = (each for stage in stages.values() for each in stage.named_parameters())
    return [name for name, parameter in named if parameter.grad is None]
