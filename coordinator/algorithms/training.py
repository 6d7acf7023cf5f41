"""What every algorithm trains with: the loss, the one training step, evaluation."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from coordinator.algorithms.optimizers import Optimizer
from coordinator.models.stages import Part, Value

EVALUATION_BATCH = 256
Draw = tuple[int | str, ...]


def loss_of(logits: Tensor, labels: Tensor) -> Tensor:
    """Give the mean binary cross entropy of logits (batch, 1) and labels (batch,)."""
    return binary_cross_entropy_with_logits(logits[:, 0], labels)


def loss_sum(logits: Tensor, labels: Tensor) -> float:
    """Give the float64 sum of the records' binary cross entropies."""
    each = binary_cross_entropy_with_logits(logits[:, 0].double(), labels.double(), reduction="none")
    return float(each.sum())


def train_batch(
    model: Part, optimizer: Optimizer, inputs: Value, labels: Tensor, draw: Draw,
    extra: Callable[[Part], Tensor] | None = None, correct: Callable[[Part], None] | None = None,
) -> float:  # fmt: skip
    """Do one step of the whole model, and give its mean loss before the step.

    Args:
        model: all stages.
        optimizer: over the model's parameters.
        inputs: (batch, ...) float32.
        labels: (batch,) float32.
        draw: what keys the step's random draws.
        extra: a term added to the loss, such as FedProx's.
        correct: changes the gradients before the step, as SCAFFOLD does.
    """
    loss = loss_of(model(inputs, draw), labels)
    total = loss if extra is None else loss + extra(model)
    total.backward()
    if correct is not None:
        correct(model)
    optimizer.descend()
    return float(loss.detach())


def evaluation_batches(count: int) -> Iterable[slice]:
    """Cut a site's records into the batches in which every arm scores them."""
    return (slice(start, start + EVALUATION_BATCH) for start in range(0, count, EVALUATION_BATCH))


@torch.inference_mode()
def logits_of(forward: Callable[[Any], Tensor], inputs: Any, count: int) -> Tensor:
    """Score `count` records in evaluation batches: inputs by slice to logits (records, 1)."""
    parts = [forward(inputs[rows]) for rows in evaluation_batches(count)]
    return torch.cat(parts) if parts else torch.empty(0, 1)


def floats(part: nn.Module) -> list[Tensor]:
    """List parameters and floating-point buffers in the model's order."""
    return [value for value in part.state_dict().values() if value.is_floating_point()]


@torch.no_grad()
def weighted_mean(tensors: Sequence[Sequence[Tensor]], weights: Sequence[float]) -> list[Tensor]:
    """Average models: sum_k w_k t_k / sum_k w_k, in float64 in site order, divided once, then cast."""
    total = float(sum(weights))
    return [_mean(values, weights, total) for values in zip(*tensors, strict=True)]


def _mean(values: Sequence[Tensor], weights: Sequence[float], total: float) -> Tensor:
    summed = torch.zeros_like(values[0], dtype=torch.float64)
    for weight, value in zip(weights, values, strict=True):
        summed += weight * value.double()
    return (summed / total).to(values[0].dtype)
