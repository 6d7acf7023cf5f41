"""How a record lies in a model's inputs, and inputs as free numbers that an attacker can descend on.

A word is one of its feature's columns, so an attack searches a softmax over them (TabLeak, Vero 2023,
section 4.1); a flag is a sigmoid; what is measured is free.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from coordinator.models.stages import Value
from coordinator.statistics import indicated

Free = dict[str, Tensor]


@dataclass(frozen=True)
class Layout:
    """Shapes by modality; of a table: how many numbers, flags of missing ones, and columns by word."""

    shapes: Mapping[str, tuple[int, ...]]
    numbers: int
    flags: int
    words: tuple[int, ...]

    @staticmethod
    def of(statistics: Mapping[str, Any]) -> "Layout":
        """Take it from what the sites agreed on, which all parties know."""
        shapes = {name: tuple(shape) for name, shape in statistics["input_shapes"].items()}
        words = tuple(len(each["levels"]) for each in statistics["categorical"])
        numbers, flags = len(statistics["numeric"]), len(indicated(statistics))
        return Layout(shapes, numbers, flags, tuple(width for width in words if width))


def start(layout: Layout, records: int, draws: torch.Generator) -> Free:
    """Draw normal numbers to begin from, (records, ...) by modality."""
    return {
        name: torch.randn(records, *shape, generator=draws)
        for name, shape in layout.shapes.items()
        if name != "present"
    }


def inputs_of(layout: Layout, free: Free) -> Value:
    """Make a model's inputs of free numbers; every modality counts as present."""
    made = {name: MAKERS[name](layout, value) for name, value in free.items()}
    if "present" not in layout.shapes:
        return next(iter(made.values()))
    first = next(iter(made.values()))
    return {**made, "present": torch.ones(len(first), *layout.shapes["present"], device=first.device)}


def _table(layout: Layout, free: Tensor) -> Tensor:
    numbers, flags, *words = free.split([layout.numbers, layout.flags, *layout.words], dim=1)
    return torch.cat([numbers, flags.sigmoid(), *(word.softmax(dim=1) for word in words)], dim=1)


def _series(layout: Layout, free: Tensor) -> Tensor:
    values, measured = free.chunk(2, dim=2)
    return torch.cat([values, measured.sigmoid()], dim=2)


def _image(layout: Layout, free: Tensor) -> Tensor:
    return free


MAKERS = {"table": _table, "series": _series, "image": _image}


def roughness(free: Free) -> Tensor:
    """Give the images' total variation, mean over pixels (); zero where there are none."""
    image = free.get("image")
    if image is None:
        return torch.zeros(())
    return image.diff(dim=2).abs().mean() + image.diff(dim=3).abs().mean()
