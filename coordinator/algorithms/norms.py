"""How long updates and gradients are: measured, and held against the study's norms (`strategies.*.norms`).

A false update is often a long one. What is outside the norms, or not finite, is noted for the history in any
case; by `action` it is shortened to the norm, or counts as never sent.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf, isfinite
from typing import Literal

import torch
from torch import Tensor

from coordinator.algorithms.party import Party
from coordinator.algorithms.training import blocks
from coordinator.models.stages import Part

Kind = Literal["update", "gradient"]
Tensors = list[Tensor]


@dataclass(frozen=True)
class Measured:
    """The longest that came from a site since the last validation (0: nothing), and how many were outside."""

    update: float = 0.0
    gradient: float = 0.0
    outside: int = 0


def take_measured(party: Party, site: int) -> Measured:
    """Give what a site's updates and gradients measured since the last call, and forget it."""
    return Measured(*party.measured.pop(site, (0.0, 0.0, 0)))


def heeded(party: Party, site: int, kind: Kind, norm: float) -> float:
    """Note a length; give what is to be multiplied by: 1 as it is, 0 to be left out."""
    bound = getattr(party.run.norms, kind)
    fits = isfinite(norm) and (bound is None or norm <= bound)
    update, gradient, outside = party.measured.get(site, (0.0, 0.0, 0))
    longest = norm if isfinite(norm) else inf
    party.measured[site] = (
        max(update, longest if kind == "update" else 0.0),
        max(gradient, longest if kind == "gradient" else 0.0),
        outside + (not fits),
    )
    if fits or party.run.norms.action == "report":
        return 1.0
    return float(bound / norm) if party.run.norms.action == "clip" and isfinite(norm) else 0.0


def judged(
    party: Party, sites: Sequence[int], x: Tensors, models: Iterator[Tensors]
) -> Iterator[tuple[int, Tensors]]:
    """Measure each site's update y_i - x as it comes; give who counts, and the model that does."""
    for site in sites:
        model = next(models)
        factor = heeded(party, site, "update", _distance(x, model))
        if factor:
            yield site, model if factor == 1 else _shortened(x, model, factor)
        del model  # not kept while the next one comes


def bound_step(party: Party, site: int, part: Part, cut: Tensor, *more: Tensor) -> None:
    """Measure the gradients that cross a site's cuts in a step, after the backward pass.

    Outside the norms all gradients of the step are multiplied alike, here and in what goes down.

    Args:
        party: the coordinator's.
        site: whose records the step is on.
        part: the layers that were trained on them.
        cut: the front's output, whose gradient goes down.
        more: gradients that came up.
    """
    down = cut.grad
    assert down is not None
    factor = heeded(party, site, "gradient", length_of(down, *more))
    if factor == 1:
        return
    for each in (down, *(p.grad for p in part.parameters() if p.grad is not None)):
        each.mul_(factor) if factor else each.zero_()  # 0 times what is no number is none


def length_of(*gradients: Tensor) -> float:
    """Give the largest L2 norm; not a number where one holds none."""
    return float(torch.stack([torch.linalg.vector_norm(each.detach().cpu()) for each in gradients]).max())


@torch.no_grad()
def _distance(x: Tensors, y: Tensors) -> float:
    squares = [
        ((b.reshape(-1)[block].double() - a.reshape(-1)[block].double()) ** 2).sum()
        for a, b in zip(x, y, strict=True)
        for block in blocks(a.numel())
    ]
    return float(torch.stack(squares).sum().sqrt()) if squares else 0.0


@torch.no_grad()
def _shortened(x: Tensors, y: Tensors, factor: float) -> Tensors:
    return [(a.double() + factor * (b.double() - a.double())).to(b.dtype) for a, b in zip(x, y, strict=True)]
