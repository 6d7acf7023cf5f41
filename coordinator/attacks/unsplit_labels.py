"""Labels from the gradients that go up in a U-shaped split (UnSplit, Erdogan 2022, section 4.2).

The coordinator knows the head's architecture, not its parameters. It has a head of its own and gives every
record the label whose gradient there is nearer to what was sent; the head is moved so that they agree.
"""

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from coordinator.algorithms.optimizers import Optimizer
from coordinator.algorithms.training import Weights, loss_of
from coordinator.config import Training
from coordinator.models.stages import Part

Floats = NDArray[np.float32]
RATE: Final = 0.05
SLIGHT: Final = 1e-3  # of the mean gradient: below it one says little, and is not held against the head


def unsplit_labels(
    head: Part, features: Floats, gradients: Floats, *, iterations: int, weights: Weights | None = None
) -> NDArray[np.float64]:
    """Score records, higher for one class: how much better its gradient fits than the other's.

    Args:
        head: one of the attacker's, of the same architecture; it is changed.
        features: (records, ...) that went down.
        gradients: (records, ...) that came up, each of its own record's loss.
        iterations: of Adam.
        weights: of the classes.
    """
    seen, down = torch.from_numpy(gradients), torch.from_numpy(features)
    optimizer = Optimizer(head, Training(optimizer="adam"), RATE)
    head.eval()
    for _ in range(iterations):
        misfits = torch.stack([_misfit(head, down, seen, label, weights) for label in (0.0, 1.0)])
        optimizer.backward(misfits.min(dim=0).values.mean())
        optimizer.descend(0)
    zero, one = (_misfit(head, down, seen, label, weights).detach() for label in (0.0, 1.0))
    scores: NDArray[np.float64] = np.nan_to_num((zero - one).double().numpy())  # of a model that diverged
    return scores


def _misfit(head: Part, features: Tensor, seen: Tensor, label: float, weights: Weights | None) -> Tensor:
    """Give each record's squared distance of the gradient that a label would make, over its own size."""
    inputs = features.detach().clone().requires_grad_()
    labels = torch.full((len(inputs),), label)
    loss = loss_of(head(inputs), labels, weights) * len(inputs)
    (made,) = torch.autograd.grad(loss, inputs, create_graph=True)
    apart, length = ((made - seen) ** 2).flatten(1).sum(dim=1), (seen**2).flatten(1).sum(dim=1)
    return apart / (length + SLIGHT * length.mean()).clamp_min(1e-20)
