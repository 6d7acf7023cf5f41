"""Records from activations by descent, with the front or a clone of it (He 2019; UnSplit, Erdogan 2022).

White box minimises |f(x) - a|^2 plus a total variation of images. UnSplit knows the architecture alone and no
record: it takes turns between x and the clone's parameters.
"""

from collections.abc import Callable
from functools import partial
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from coordinator.algorithms.optimizers import Optimizer
from coordinator.attacks.layout import MAKERS, Free, Layout, inputs_of, roughness, start
from coordinator.config import Training
from coordinator.draws import key
from coordinator.models.stages import Part

Floats = NDArray[np.float32]
RATE: Final = 0.1
CLONE_RATE: Final = 0.001  # as published, of Adam with amsgrad
SMOOTH: Final = 0.01
PRIOR: Final = 0.01  # that what is normalised is small; the normalisation is known to all
TURNS: Final = 10  # of UnSplit: how often records and clone take turns


def white_box(front: Part, seen: Floats, layout: Layout, *, iterations: int, seed: int) -> dict[str, Floats]:
    """Give records whose activations are those seen, by modality.

    Args:
        front: the layers below the cut, in evaluation mode, as in the scoring that was recorded.
        seen: (records, ...) activations.
        layout: of a record.
        iterations: of Adam.
        seed: keys the start.
    """
    sought, target = Records(layout, len(seen), seed), torch.from_numpy(seen)
    _descend(sought, lambda: front(inputs_of(layout, sought.free())), target, iterations, RATE)
    return sought.found()


def unsplit(clone: Part, seen: Floats, layout: Layout, *, iterations: int, seed: int) -> dict[str, Floats]:
    """Give records and a front that make the activations seen; as `white_box`, but the front is not known.

    Args: `clone` is a front of the same architecture that the attacker drew; it is changed.
    """
    sought, target = Records(layout, len(seen), seed), torch.from_numpy(seen)
    for _ in range(TURNS):
        each = max(1, iterations // (2 * TURNS))
        _descend(sought, lambda: clone(inputs_of(layout, sought.free())), target, each, RATE)
        fixed = inputs_of(layout, {name: value.detach() for name, value in sought.free().items()})
        _descend(clone, partial(clone, fixed), target, each, CLONE_RATE)
    return sought.found()


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
    what: nn.Module, give: Callable[[], Tensor], target: Tensor, iterations: int, rate: float
) -> None:
    """Bring what is given near the target; records are independent, so their squares are summed."""
    optimizer = Optimizer(what, Training(optimizer="adam", schedule="cosine", rounds=iterations), rate)
    scale = target.flatten(1).var(dim=0).mean().clamp_min(1e-8)
    for iteration in range(iterations):
        misfit = ((give() - target) ** 2).flatten(1).mean(dim=1).sum() / scale
        if isinstance(what, Records):
            slack = (1 - iteration / iterations) ** 2  # in the end the activations alone count
            misfit = misfit + slack * SMOOTH * len(target) * roughness(what.free())
            misfit = misfit + slack * PRIOR * size(what.free())
        misfit.backward()
        optimizer.descend(iteration)
