"""What is known of a network's stages before any is trained."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from coordinator.models.stages import DRAWING, Builders, Shape, Together, Value

FILLING: Final = {Tensor.uniform_, Tensor.normal_} | {
    value for name, value in vars(nn.init).items() if name.endswith("_") and callable(value)
}


class Undrawn(TorchFunctionMode):
    """Leave parameters zero: shapes need no first values, which take as long as a step of training."""

    def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        """Do what is called, but for filling a tensor."""
        kwargs = kwargs or {}
        if func in FILLING:
            filled = args[0] if args else kwargs["tensor"]
            filled.data.zero_()
            return filled  # itself: a module may make what an initialisation gives its parameter
        return func(*args, **kwargs)


@dataclass(frozen=True)
class Outline:
    """What is known of a stage before it is trained: one record's shape after it, the numbers it holds."""

    shape: tuple[int, ...]
    parameters: int
    buffers: int


def empty_records(count: int, shape: Shape) -> Value:
    """Make records of zeros."""
    if isinstance(shape, dict):
        return {name: torch.zeros(count, *each) for name, each in shape.items()}
    return torch.zeros(count, *shape)


def outline(builders: Builders, shape: Shape) -> dict[str, Outline]:
    """Outline every stage for records of a shape, by passing two empty ones through.

    (torch's meta device would need no memory, but imports the compiler: two seconds a process.)
    """
    found, value = {}, empty_records(2, shape)
    with DRAWING, torch.inference_mode(), Undrawn():
        for name, stage in _made(builders):
            value = stage.eval()(value)
            counts = [sum(each.numel() for each in kind) for kind in (stage.parameters(), stage.buffers())]
            found[name] = Outline(tuple(value.shape[1:]), *counts)
    return found


def _made(builders: Builders) -> Iterator[tuple[str, nn.Module]]:
    if isinstance(builders, Together):
        return iter(builders.make().items())
    return ((name, builder()) for name, builder in builders.items())
