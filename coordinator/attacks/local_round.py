"""A site's local round, done again by who knows its seed: from guessed records to the update they would make.

Batches, dropout and first parameters follow from the study's seed, which every party knows; what the
coordinator does not know are the records. Of a secure sum the update is the average of several sites' rounds,
each of its own records.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.func import functional_call

from coordinator.algorithms.optimizers import BETAS
from coordinator.algorithms.training import Draw, Weights, loss_of
from coordinator.config import Training
from coordinator.models.stages import Part, Value

SMOOTHING = 0.1  # of a gradient's mean size; Adam's first step is its sign, on which nothing can descend
Tensors = Sequence[Tensor]


class Step(NamedTuple):
    """Which of the guessed records make a step, and what keys its draws."""

    records: Tensor
    draw: Draw | None


class Share(NamedTuple):
    """One site's steps of a round, and its weight in the average."""

    steps: tuple[Step, ...]
    weight: float


@dataclass(frozen=True)
class Update:
    """What is seen of a site's steps: the model before them, and how what came of it differs.

    `names` are of the parameters that are seen, where not all are. `others` are shares in it of further
    sites, whose records are numbered on; `weight` is the first one's.
    """

    model: Part
    change: tuple[Tensor, ...]  # in the order of the model's parameters, as far as they are seen
    steps: tuple[Step, ...]
    training: Training
    rate: float
    weights: Weights | None = None
    weight: float = 1.0
    others: tuple[Share, ...] = ()
    names: tuple[str, ...] | None = None

    def shows(self, name: str) -> bool:
        """Say whether a parameter's change is seen."""
        return self.names is None or name in self.names

    @property
    def shares(self) -> tuple[Share, ...]:
        """Give all sites' shares."""
        return (Share(self.steps, self.weight), *self.others)

    @property
    def records(self) -> int:
        """Count the records it is of."""
        return 1 + max(int(step.records.max()) for share in self.shares for step in share.steps)


def made_by(update: Update, inputs: Value, labels: Tensor) -> list[Tensor]:
    """Give the update that these records would have made, differentiable in them.

    Args:
        update: the model before it, the steps, the optimizer.
        inputs: (records, ...).
        labels: (records,), from 0 to 1.
    """
    several = [_made_by_site(update, share, inputs, labels) for share in update.shares]
    return [torch.stack(each).sum(dim=0) for each in zip(*several, strict=True)]


def _made_by_site(update: Update, share: Share, inputs: Value, labels: Tensor) -> list[Tensor]:
    before = {name: value.detach().requires_grad_() for name, value in update.model.named_parameters()}
    now, moments = dict(before), Moments(update.training, len(before))
    for step in share.steps:
        logits = functional_call(update.model, now, (_rows(inputs, step.records), step.draw))
        loss = loss_of(logits, labels[step.records], update.weights)
        gradients = torch.autograd.grad(loss, list(now.values()), create_graph=True)
        moves = moments.moves(gradients, list(now.values()), update.rate)
        now = {name: value + move for (name, value), move in zip(now.items(), moves, strict=True)}
    return [share.weight * (now[name] - before[name]) for name in before if update.shows(name)]


def gradient_of(model: Part, inputs: Value, labels: Tensor, weights: Weights | None = None) -> Update:
    """Give what one full step of plain descent at rate 1 on some records sends: their gradient's negative."""
    loss = loss_of(model(inputs), labels, weights)
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    step = Step(torch.arange(len(labels)), None)
    plain = Training(optimizer="sgd", learning_rates=(1.0,))
    return Update(model, tuple(-each for each in gradients), (step,), plain, 1.0, weights)


class Moments:
    """SGD's or Adam's past, as tensors that keep their graph."""

    def __init__(self, training: Training, count: int) -> None:
        """Start with none."""
        self._training, self._steps = training, 0
        self._first: list[Tensor] = [torch.zeros(())] * count
        self._second: list[Tensor] = [torch.zeros(())] * count

    def moves(self, gradients: Tensors, values: Tensors, rate: float) -> list[Tensor]:
        """Give what a step adds to each parameter."""
        self._steps += 1
        if self._training.optimizer == "sgd":
            return self._plain(gradients, values, rate)
        return [
            self._adam(place, gradient, value, rate)
            for place, (gradient, value) in enumerate(zip(gradients, values, strict=True))
        ]

    def _plain(self, gradients: Tensors, values: Tensors, rate: float) -> list[Tensor]:
        decay, momentum = self._training.weight_decay, self._training.momentum
        self._first = [
            momentum * first + gradient + decay * value
            for first, gradient, value in zip(self._first, gradients, values, strict=True)
        ]
        return [-rate * first for first in self._first]

    def _adam(self, place: int, gradient: Tensor, value: Tensor, rate: float) -> Tensor:
        """Adam (Kingma & Ba 2015), its epsilon so large that the first step is no bare sign."""
        decay, (one, two) = self._training.weight_decay, BETAS
        if self._training.optimizer == "adam":
            gradient = gradient + decay * value
        self._first[place] = one * self._first[place] + (1 - one) * gradient
        self._second[place] = two * self._second[place] + (1 - two) * gradient**2
        epsilon = SMOOTHING * gradient.detach().abs().mean() + 1e-12
        first = self._first[place] / (1 - one**self._steps)
        second = (self._second[place] / (1 - two**self._steps) + epsilon**2).sqrt()
        own = decay * value if self._training.optimizer == "adamw" else 0.0
        return -rate * (first / second + own)


def _rows(inputs: Value, records: Tensor) -> Value:
    if isinstance(inputs, dict):
        return {name: value[records] for name, value in inputs.items()}
    return inputs[records]
