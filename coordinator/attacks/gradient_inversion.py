"""Records from an update: those that would have made it (DLG, Zhu 2019; Inverting Gradients, Geiping 2020).

DLG minimises the squared distance of updates, and searches labels with the records. Inverting Gradients
minimises 1 - cos of their angle plus a total variation, by signed steps of Adam.
"""

from collections.abc import Callable
from typing import Final, Literal, NamedTuple

import torch
from torch import Tensor, nn

from coordinator.algorithms.optimizers import Optimizer
from coordinator.attacks.layout import Free, Layout, inputs_of, roughness, start
from coordinator.attacks.local_round import Update, made_by
from coordinator.config import Training
from coordinator.draws import key

Objective = Literal["squared", "cosine"]
RATE: Final = 0.1
FENCE: Final = 0.1
SMOOTH: Final = 0.01  # weight of the images' total variation beside 1 - cos


class Guess(NamedTuple):
    """What an attack makes of an update: free numbers by modality, labels (records,), how badly it fits."""

    free: Free
    labels: Tensor
    loss: float


def invert(
    update: Update, layout: Layout, *, objective: Objective, iterations: int, seed: int,
    labels: Tensor | None = None, signed: bool = False,
) -> Guess:  # fmt: skip
    """Search records whose update is the one that was seen.

    Args:
        update: what was seen.
        layout: of a record.
        objective: what is minimised.
        iterations: of Adam, its rate falling to 0 by a cosine.
        seed: keys the start.
        labels: (records,), where the attacker knows them; else they are searched.
        signed: descend by the gradient's sign.
    """
    sought = Sought(layout, update.records, seed, labels)
    rates = Training(optimizer="adam", schedule="cosine", rounds=iterations)
    optimizer = Optimizer(sought, rates, RATE)
    training = update.model.training
    update.model.train()  # as the site did; its draws are keyed
    best = Guess(sought.now(), sought.labels().detach(), float("inf"))
    for iteration in range(iterations):
        loss = distance(update, sought, objective)
        if (now := float(loss.detach())) < best.loss:
            best = Guess(sought.now(), sought.labels().detach(), now)
        optimizer.backward(loss)
        if signed:
            _by_sign(sought)
        optimizer.descend(iteration)
    update.model.train(training)
    return best


def distance(update: Update, sought: "Sought", objective: Objective) -> Tensor:
    """Say how far the update that the sought records make is from the one that was seen ()."""
    made = made_by(update, inputs_of(sought.layout, sought.free()), sought.labels())
    found = OBJECTIVES[objective](
        torch.cat([each.flatten() for each in made]), torch.cat([each.flatten() for each in update.change])
    )
    return found + SMOOTH * roughness(sought.free()) + FENCE * beyond(sought.free())


def beyond(free: Free) -> Tensor:
    """Give the mean square by which numbers lie beyond three standard deviations (): none should."""
    return torch.stack([(value.abs() - 3).relu().square().mean() for value in free.values()]).sum()


def _squared(made: Tensor, seen: Tensor) -> Tensor:
    return ((made - seen) ** 2).sum() / (seen**2).sum().clamp_min(1e-30)


def _cosine(made: Tensor, seen: Tensor) -> Tensor:
    return 1 - (made * seen).sum() / (made.norm() * seen.norm()).clamp_min(1e-30)


OBJECTIVES: Final[dict[Objective, Callable[[Tensor, Tensor], Tensor]]] = {
    "squared": _squared,
    "cosine": _cosine,
}


class Sought(nn.Module):
    """Records and labels as parameters."""

    def __init__(self, layout: Layout, records: int, seed: int, labels: Tensor | None) -> None:
        """Begin from normal numbers, and from labels that are undecided where they are not known."""
        super().__init__()
        draws = torch.Generator().manual_seed(key(seed, "inversion") >> 1)
        self.layout, self._known = layout, labels
        self._free = nn.ParameterDict(start(layout, records, draws))
        self._label = None if labels is not None else nn.Parameter(torch.randn(records, generator=draws))

    def free(self) -> Free:
        """Give the records' free numbers."""
        return dict(self._free.items())

    def labels(self) -> Tensor:
        """Give the labels, from 0 to 1."""
        if self._label is None:
            assert self._known is not None
            return self._known
        return self._label.sigmoid()

    def now(self) -> Free:
        """Give the records' free numbers as they are now."""
        return {name: value.detach().clone() for name, value in self._free.items()}


def _by_sign(sought: Sought) -> None:
    for parameter in sought.parameters():
        if parameter.grad is not None:
            parameter.grad.sign_()
