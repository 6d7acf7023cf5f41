"""A network as named stages in a row; a part is some consecutive ones of them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from threading import Lock
from typing import Any, Final, cast

import torch
from torch import Tensor, nn

from coordinator.draws import key

Builders = dict[str, Callable[[], nn.Module]]
# one record's shape and a batch of records: a tensor, or one per modality
Shape = tuple[int, ...] | dict[str, tuple[int, ...]]
Value = Tensor | dict[str, Tensor]
Layout = Callable[[Tensor], Tensor]
# torch draws from one generator per process: seeding and drawing is one act, also between threads
DRAWING = Lock()
ENGINE: Final = torch.autograd.Variable._execution_engine  # what every backward() ends in
# attention's fast path changes bits between training and evaluation, and hides operations from their count
torch.backends.mha.set_fastpath_enabled(False)


class Together(dict[str, Callable[[], nn.Module]]):
    """The stages of a network whose constructor builds, and draws, all of them at once.

    `make` builds them by name; `why_not` says why there is no cut after a name.
    """

    def __init__(
        self,
        names: Iterable[str],
        make: Callable[[], dict[str, nn.Module]],
        why_not: Callable[[str], str],
    ) -> None:
        """Take what builds all."""
        super().__init__({name: partial(self._one, name) for name in names})
        self.make, self.why_not = make, why_not

    def _one(self, name: str) -> nn.Module:
        return self.make()[name]


def _boundary(value: Tensor, layout: Layout) -> Tensor:
    """Lay out what crosses a stage boundary, both ways, as it would be after having been sent."""
    value = layout(value)
    if value.requires_grad:
        value.register_hook(layout)
    return value


def channels_last(value: Tensor) -> Tensor:
    """Lay out (batch, channels, height, width) with a pixel's channels together; others contiguously.

    Where a dimension is 1 two layouts are the same memory, and torch chooses a kernel by the strides: there
    too they are made those of channels_last, so that a tensor that was sent is treated as one that was not.
    """
    if value.dim() != 4:
        return value.contiguous()
    _, channels, height, width = value.shape
    if value.stride() == (channels * height * width, 1, channels * width, channels):
        return value
    return value.clone(memory_format=torch.channels_last)


def backward(output: Tensor, gradient: Tensor | None = None) -> None:
    """Go on backwards from a received gradient, of the output's shape, or from a loss.

    (``output.backward`` does the same, but imports sympy to compare the shapes: a third of a second at each
    site in its first turn; and what it looks at takes 35 us a step, a twelfth of a small network's.)
    """
    start = torch.ones_like(output) if gradient is None else gradient.to(output.device)
    ENGINE.run_backward(
        (output,), (start,), False, False, (), allow_unreachable=True,
        accumulate_grad=True,
    )  # fmt: skip


@dataclass(frozen=True)
class Arithmetic:
    """How a part computes: in mixed precision, on images with their channels last, on which device."""

    mixed: bool = False
    channels_last: bool = False
    device: str = "cpu"

    @property
    def layout(self) -> Layout:
        """Give what lays out a value at a stage's boundary."""
        return channels_last if self.channels_last else Tensor.contiguous


USUAL: Final = Arithmetic()


class Part(nn.Module):
    """Consecutive stages of a model, held by one party.

    In mixed precision (Micikevicius 2018) what autocast makes bfloat16 within a stage is float32 again at its
    end: a cut sends float32, and cuts no arithmetic. Parameters, gradients and the loss are float32 always.
    """

    def __init__(self, stages: dict[str, nn.Module], how: Arithmetic = USUAL) -> None:
        """Take the stages in order; a batch is moved to the device, wherever it comes from.

        A dot in a stage's name is a slash in the names of tensors, as torch wants it.
        """
        super().__init__()
        named = {name.replace(".", "/"): stage for name, stage in stages.items()}
        self.stages = nn.ModuleDict(named).to(how.device)
        self._in_order = tuple(zip(stages, self.stages.values(), strict=True))
        self.mixed, self.device, self._layout = how.mixed, how.device, how.layout
        if how.channels_last:
            for parameter in self.stages.parameters():
                parameter.data = channels_last(parameter.data)

    def forward(self, value: Any, draw: tuple[int | str, ...] | None = None) -> Tensor:
        """Run the stages: (batch, ...), or that per modality where the first takes it, to (batch, ...).

        Args:
            value: the input of the first stage.
            draw: what keys this pass's random draws (seed, purpose, position); None draws nothing.
        """
        value = _on(self.device, value)
        if self._layout is channels_last:
            value = _laid_out(value)
        for name, stage in self._in_order:
            if draw is None:
                value = self._run(stage, value)
            else:
                with DRAWING:
                    _seed(key(*draw, name), self.device)
                    value = self._run(stage, value)
            value = _boundary(value, self._layout)
        return cast(Tensor, value)

    def _run(self, stage: nn.Module, value: Any) -> Tensor:
        if not self.mixed:
            return cast(Tensor, stage(value))
        with torch.autocast(self.device, dtype=torch.bfloat16):
            return cast(Tensor, stage(value)).float()


def _on(device: str, value: Any) -> Any:
    goes_on = device != "cpu"  # a copy to the CPU is waited for: nobody else knows when it is whole
    if isinstance(value, dict):
        return {name: each.to(device, non_blocking=goes_on) for name, each in value.items()}
    return value.to(device, non_blocking=goes_on)


def _laid_out(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: channels_last(each) for name, each in value.items()}
    return channels_last(value)


def _seed(number: int, device: str) -> None:
    torch.default_generator.manual_seed(number)
    if device != "cpu":
        torch.cuda.manual_seed(number)


def build(
    builders: Builders,
    seed: int,
    names: tuple[str, ...] | None = None,
    how: Arithmetic = USUAL,
) -> Part:
    """Build the named stages (all by default), each initialised from (seed, "init", its name), on the CPU.

    Those that are built together are initialised from (seed, "init") in the order of their constructor.
    """
    names = tuple(builders) if names is None else names
    if isinstance(builders, Together):
        with DRAWING:
            torch.default_generator.manual_seed(key(seed, "init"))
            made = builders.make()
        return Part({name: made[name] for name in names}, how)
    stages = {}
    for name in names:
        with DRAWING:
            torch.default_generator.manual_seed(key(seed, "init", name))
            stages[name] = out_of_place(builders[name]())
    return Part(stages, how)


def cut(names: tuple[str, ...], after: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Cut stage names after the given ones: one name gives two parts, two give three."""
    places = [0, *(names.index(name) + 1 for name in after), len(names)]
    return [names[start:end] for start, end in pairwise(places)]


def out_of_place(stage: nn.Module) -> nn.Module:
    """Make every module of a stage leave its input as it is."""
    # an in-place module would change the tensor that was sent, or the one autograd saved
    for module in stage.modules():
        if getattr(module, "inplace", False):
            module.inplace = False  # type: ignore[assignment]
    return stage
