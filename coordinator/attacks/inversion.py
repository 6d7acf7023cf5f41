"""Records from activations by descent, with the front or a clone of it (He 2019; UnSplit, Erdogan 2022).

White box minimises |f(x) - a|^2 plus a total variation of images. UnSplit knows the architecture alone and no
record: it takes turns between x and the clone's parameters. Against a defence they compare what a release is
around, leave out what was dropped, and hold to the prior as much as the noise makes the likeliest record do.
"""

from collections.abc import Callable
from functools import partial
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from coordinator.algorithms.optimizers import Optimizer
from coordinator.attacks.defence import UNDEFENDED, Known
from coordinator.attacks.layout import MAKERS, Free, Layout, inputs_of, roughness, start
from coordinator.config import Training
from coordinator.draws import key
from coordinator.models.stages import Part, Value

Floats = NDArray[np.float32]
RATE: Final = 0.1
CLONE_RATE: Final = 0.001  # as published, of Adam with amsgrad
SMOOTH: Final = 0.01
PRIOR: Final = 0.01  # that what is normalised is small; the normalisation is known to all
TURNS: Final = 10  # of UnSplit: how often records and clone take turns


def white_box(
    front: Part, seen: Floats, layout: Layout, *, iterations: int, seed: int, defence: Known = UNDEFENDED
) -> dict[str, Floats]:
    """Give records whose activations are those seen, by modality.

    Args:
        front: the layers below the cut, in evaluation mode, as in the scoring that was recorded.
        seen: (records, ...) activations.
        layout: of a record.
        iterations: of Adam.
        seed: keys the start.
        defence: that the activations went through.
    """
    sought, target = Records(layout, len(seen), seed), torch.from_numpy(seen)
    give = partial(_given, front, sought, defence)
    _descend(sought, give, target, iterations, RATE, defence)
    return sought.found()


def unsplit(
    clone: Part, seen: Floats, layout: Layout, *, iterations: int, seed: int, defence: Known = UNDEFENDED
) -> dict[str, Floats]:
    """Give records and a front that make the activations seen; as `white_box`, but the front is not known.

    Args: `clone` is a front of the same architecture that the attacker drew; it is changed.
    """
    sought, target = Records(layout, len(seen), seed), torch.from_numpy(seen)
    for _ in range(TURNS):
        each = max(1, iterations // (2 * TURNS))
        _descend(sought, partial(_given, clone, sought, defence), target, each, RATE, defence)
        fixed = inputs_of(layout, {name: value.detach() for name, value in sought.free().items()})
        _descend(clone, partial(_around, clone, fixed, defence), target, each, CLONE_RATE, defence)
    return sought.found()


def _given(front: Part, sought: "Records", defence: Known) -> Tensor:
    return _around(front, inputs_of(sought.layout, sought.free()), defence)


def _around(front: Part, inputs: Value, defence: Known) -> Tensor:
    return defence.expected(front(inputs))


class Records(nn.Module):
    """Sought records as parameters, from small normal numbers."""

    def __init__(self, layout: Layout, records: int, seed: int) -> None:
        """Draw them."""
        super().__init__()
        draws = torch.Generator().manual_seed(key(seed, "white box") >> 1)
        self.layout = layout
        self._free = nn.ParameterDict(
            {name: 0.1 * value for name, value in start(layout, records, draws).items()}
        )

    def free(self) -> Free:
        """Give the free numbers."""
        return dict(self._free.items())

    def found(self) -> dict[str, Floats]:
        """Give the records as the model would read them, (records, ...) by modality."""
        return {name: MAKERS[name](self.layout, value).detach().numpy() for name, value in self._free.items()}


def size(free: Free) -> Tensor:
    """Give the sum over records of their free numbers' mean squares ()."""
    return torch.stack([value.square().flatten(1).mean(dim=1).sum() for value in free.values()]).sum()


def _descend(
    what: nn.Module, give: Callable[[], Tensor], target: Tensor, iterations: int, rate: float, defence: Known
) -> None:
    """Bring what is given near the target; records are independent, so their squares are summed."""
    optimizer = Optimizer(what, Training(optimizer="adam", schedule="cosine", rounds=iterations), rate)
    scale = target.flatten(1).var(dim=0).mean().clamp_min(1e-8)
    there = defence.there(target)
    for iteration in range(iterations):
        misfit = (there * (give() - target) ** 2).flatten(1).mean(dim=1).sum() / scale
        if isinstance(what, Records):
            slack = (1 - iteration / iterations) ** 2  # in the end the activations alone count
            misfit = misfit + slack * SMOOTH * len(target) * roughness(what.free())
            misfit = misfit + max(slack * PRIOR, _prior(what, target, scale, defence)) * size(what.free())
        optimizer.backward(misfit)
        optimizer.descend(iteration)


def _prior(sought: Records, target: Tensor, scale: Tensor, defence: Known) -> float:
    """Give the prior's weight with which the least misfit is the likeliest record: 0 without noise.

    Of |f(x) - a|^2 / (2 v) + |x|^2 / 2, v the noise's variance, in the units of the misfit and of `size`.
    """
    features = sum(value[0].numel() for value in sought.free().values())
    return defence.variance * features / (target[0].numel() * float(scale))
