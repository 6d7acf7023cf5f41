"""What every algorithm trains with: the loss, the one training step, evaluation."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from math import nan
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from coordinator.algorithms.clipping import alone
from coordinator.algorithms.optimizers import Optimizer
from coordinator.models.stages import Part, Value, backward

EVALUATION_BATCH = 256
BLOCK = 2**22  # numbers that are made float64 at once
Draw = tuple[int | str, ...]
Weights = tuple[float, float]  # of a record without the outcome, and of one with it


def loss_of(logits: Tensor, labels: Tensor, weights: Weights | None = None) -> Tensor:
    """Give the mean cross entropy of logits (batch, outputs) and labels (batch,).

    Of one output the binary one, of the outcome's probability; of more the softmax's, of the probability of
    the class that a label numbers.

    With class weights, (1 / batch) sum_i w(y_i) l_i: not divided by the sum of the weights, so that the mean
    over several sites' batches is the loss of the batch that holds them all.
    """
    return _entropy(logits, labels.to(logits.device, non_blocking=logits.is_cuda), weights, "mean")


def losses_of(logits: Tensor, labels: Tensor, weights: Weights | None = None) -> Tensor:
    """Give each record's cross entropy (batch,), as `loss_of`."""
    return _entropy(logits, labels, weights, "none")


def _entropy(logits: Tensor, labels: Tensor, weights: Weights | None, reduction: str) -> Tensor:
    if logits.shape[1] > 1:
        assert weights is None  # coordinator.class_rules
        return cross_entropy(logits, labels.long(), reduction=reduction)
    weight = class_weight_of(labels, weights)
    return binary_cross_entropy_with_logits(logits[:, 0], labels, weight, reduction=reduction)


def loss_sum(logits: Tensor, labels: Tensor, weights: Weights | None = None) -> float:
    """Give the float64 sum of the records' cross entropies, weighted as in training.

    Validation is weighted too: what selects a model is the loss that it was trained for. By the unweighted
    one a model would look the better the less it has learned to heed the rare class.
    """
    return float(losses_of(logits.cpu().double(), labels.double(), weights).sum())


def ranked_pairs(logits: Tensor, labels: Tensor, min_cell: int) -> tuple[float, int]:
    """Count how many pairs of a record with the outcome and one without are ranked rightly, ties half.

    With fewer than ``min_cell`` records of either kind no pair is counted, in every arm alike: a site would
    not tell. Divided, sums over sites are the site-stratified AUROC (Mann & Whitney 1947). Of more than two
    classes none is counted: they have no one ranking.

    Returns:
        pairs ranked rightly, NaN where a logit is not finite; pairs.
    """
    if logits.shape[1] > 1:
        return 0.0, 0
    score, positive = logits[:, 0].cpu().double(), labels.cpu() > 0.5
    up, down = score[positive], score[~positive].sort().values
    if min(len(up), len(down)) < min_cell:
        return 0.0, 0
    if not bool(torch.isfinite(score).all()):
        return nan, len(up) * len(down)
    below, upto = (torch.searchsorted(down, up, right=right).sum() for right in (False, True))
    return float(below + upto) / 2, len(up) * len(down)


def class_weight_of(labels: Tensor, weights: Weights | None) -> Tensor | None:
    """Give each record's weight in the loss (records,), None where all weigh 1."""
    if weights is None:
        return None
    without, with_outcome = map(labels.new_tensor, weights)
    return torch.where(labels > 0.5, with_outcome, without)


def train_batch(
    model: Part, optimizer: Optimizer, inputs: Value, labels: Tensor, draw: Draw,
    extra: Callable[[Part], Tensor] | None = None, correct: Callable[[Part], None] | None = None,
    *, round_: int, weights: Weights | None = None,
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
        round_: the round the step stands in, which sets the learning rate.
        weights: of the classes.
    """
    loss = loss_of(model(inputs, draw), labels, weights)
    total = loss if extra is None else loss + extra(model)
    backward(total)
    if correct is not None:
        correct(model)
    optimizer.descend(round_, alone(optimizer))
    return float(loss.detach())


def evaluation_batches(count: int) -> Iterable[slice]:
    """Cut a site's records into the batches in which every arm scores them."""
    return (slice(start, start + EVALUATION_BATCH) for start in range(0, count, EVALUATION_BATCH))


@torch.inference_mode()
def logits_of(forward: Callable[[Any], Tensor], inputs: Any, count: int, outputs: int = 1) -> Tensor:
    """Score `count` records in evaluation batches: inputs by slice to logits (records, outputs)."""
    parts = [forward(inputs[rows]).cpu() for rows in evaluation_batches(count)]
    return torch.cat(parts) if parts else torch.empty(0, outputs)


def floats(part: nn.Module) -> list[Tensor]:
    """List parameters and floating-point buffers in the model's order."""
    return [value for value in part.state_dict().values() if value.is_floating_point()]


class Mean:
    """The average of models that come one by one: sum_k w_k t_k / sum_k w_k.

    In float64 in the order in which they come, divided once, then cast; none is kept.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self.weight = 0.0
        self._sums: list[Tensor] = []
        self._kinds: list[tuple[torch.dtype, torch.Size]] = []

    @torch.no_grad()
    def add(self, model: Sequence[Tensor], weight: float) -> None:
        """Add a model's tensors."""
        if not self._sums:
            self._sums = [torch.zeros(t.numel(), dtype=torch.float64, device=t.device) for t in model]
            self._kinds = [(t.dtype, t.shape) for t in model]
        for total, tensor in zip(self._sums, model, strict=True):
            flat = tensor.reshape(-1)
            for block in blocks(flat.numel()):
                total[block] += weight * flat[block].double()
        self.weight += weight

    @torch.no_grad()
    def value(self) -> list[Tensor]:
        """Give the average, of the models' own type."""
        return [
            total.div_(self.weight).to(dtype).reshape(shape)
            for total, (dtype, shape) in zip(self._sums, self._kinds, strict=True)
        ]


def weighted_mean(models: Iterable[Sequence[Tensor]], weights: Sequence[float]) -> list[Tensor]:
    """Average models (`Mean`)."""
    mean = Mean()
    for model, weight in zip(models, weights, strict=True):
        mean.add(model, weight)
    return mean.value()


def blocks(count: int) -> Iterator[slice]:
    """Cut so many numbers into pieces of which float64 copies are small."""
    for start in range(0, count, BLOCK):
        yield slice(start, start + BLOCK)
