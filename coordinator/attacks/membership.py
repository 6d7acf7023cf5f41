"""Membership: was this record trained on? Arrays of logits and labels in, a score per record out."""

from collections.abc import Callable
from typing import Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from coordinator.algorithms.class_weights import balanced
from coordinator.algorithms.optimizers import Optimizer
from coordinator.algorithms.training import Draw, Weights, train_batch
from coordinator.config import Training
from coordinator.draws import key
from coordinator.models.stages import Part, Value
from coordinator.schedule import Indices

Floats = NDArray[np.float64]
EPOCHS: Final = 15


class Step(Protocol):
    """A step of training a whole model on a batch, as `train_batch`."""

    def __call__(
        self, model: Part, optimizer: Optimizer, inputs: Value, labels: Tensor, draw: Draw, *,
        round_: int, weights: Weights | None,
    ) -> object:  # fmt: skip
        """Do it."""


def loss_threshold(logits: Floats, labels: Floats) -> Floats:
    """Score records by how small their loss is (Yeom 2018): (n,) logits and labels to (n,).

    The loss falls as the label's logit rises, so that one orders records as the other does.
    """
    return confidence(logits, labels)


def lira_offline(logits: Floats, labels: Floats, shadow_logits: Floats) -> Floats:
    """Score records by how much surer the model is than models that never saw them (Carlini 2022, offline).

    Lambda = Phi((conf - mu_out) / sigma_out), with one spread over all records, as the paper advises where
    there are few shadow models.

    Args:
        logits: (n,) of the attacked model.
        labels: (n,) of 0 and 1.
        shadow_logits: (shadows, n), two or more.
    """
    outside = confidence(shadow_logits, labels)  # (shadows, n)
    spread = max(float(np.sqrt(outside.var(axis=0, ddof=1).mean())), 1e-6)
    found: Floats = norm.logcdf((confidence(logits, labels) - outside.mean(axis=0)) / spread)
    return found


def confidence(logits: Floats, labels: Floats) -> Floats:
    """Give log p_y / (1 - p_y): the logit of the record's own label."""
    return np.where(labels > 0.5, logits, -logits)


def shadow_models(
    build: Callable[[int], Part], inputs: Callable[[Indices], Value], labels: Tensor, training: Training, *,
    seed: int, shadows: int, epochs: int = EPOCHS, step: Step = train_batch,
) -> list[Part]:  # fmt: skip
    """Train models as the attacked one was, each on a random half of the attacker's own records.

    Args:
        build: gives a new model from a seed.
        inputs: gives the inputs of some auxiliary records.
        labels: (records,) float32 of them.
        training: the attacked model's, with one learning rate: the one it was trained at.
        seed: keys halves, first parameters and batches.
        shadows: how many models.
        epochs: passes of each over its half.
        step: how the attacked model was trained.
    """
    return [
        _shadow(build, inputs, labels, training, key(seed, "shadow", number), epochs, step)
        for number in range(shadows)
    ]


def shadow_attack(
    logits: Floats,
    labels: Floats,
    shadow_logits: Floats,
    shadow_labels: Floats,
    trained_on: NDArray[np.bool_],
) -> Floats:
    """Score records by a classifier that learned from shadow models what members look like (Shokri 2017).

    One classifier for both classes, over the confidence and its square, in place of one each.

    Args:
        logits: (n,) of the attacked model.
        labels: (n,) of 0 and 1.
        shadow_logits: (shadows, m) of the attacker's own records.
        shadow_labels: (m,) of them.
        trained_on: (shadows, m), which each was trained on.
    """
    learned = make_pipeline(StandardScaler(), LogisticRegression())
    learned.fit(_looks(confidence(shadow_logits, shadow_labels).ravel()), trained_on.ravel())
    found: Floats = learned.decision_function(_looks(confidence(logits, labels)))
    return found


def _looks(sure: Floats) -> Floats:
    return np.stack([sure, sure**2], axis=1)


def half_of(records: int, seed: int, number: int) -> NDArray[np.int64]:
    """Say which of the attacker's records a shadow model was trained on."""
    draws = np.random.default_rng(key(seed, "shadow", number))
    half: NDArray[np.int64] = draws.permutation(records)[: -(-records // 2)]
    return half


def _shadow(
    build: Callable[[int], Part], inputs: Callable[[Indices], Value], labels: Tensor, training: Training,
    seed: int, epochs: int, one_step: Step,
) -> Part:  # fmt: skip
    draws = np.random.default_rng(seed)
    half = draws.permutation(len(labels))[: -(-len(labels) // 2)]
    weights = None
    if training.class_weights == "balanced":
        weights = balanced(len(half), int(labels[torch.from_numpy(half)].sum()))
    model = build(seed)
    optimizer = Optimizer(model, training, training.learning_rates[-1])
    for epoch in range(epochs):
        order = draws.permutation(half)
        for step, start in enumerate(range(0, len(order), training.batch_size)):
            batch = order[start : start + training.batch_size]
            one_step(
                model, optimizer, inputs(batch), labels[torch.from_numpy(batch)], (seed, epoch, step),
                round_=min(epoch, training.rounds - 1), weights=weights,
            )  # fmt: skip
    return model.eval()
