"""Networks over tables: logistic regression and the multilayer perceptron."""

from functools import partial

from torch import nn

from coordinator.config import Model
from coordinator.models.stages import Builders


def stages(model: Model, shape: tuple[int, ...]) -> Builders:
    """Describe each stage: (batch, features) in, (batch, 1) logits out of the last.

    Args:
        model: `logistic_regression` has the head alone; `mlp` one layer per hidden width.
        shape: (features,).
    """
    hidden = () if model.name == "logistic_regression" else model.hidden
    widths = [*shape, *hidden]
    layers = {
        f"layer{i + 1}": partial(_layer, widths[i], widths[i + 1], model.dropout) for i in range(len(hidden))
    }
    return {**layers, "head": partial(nn.Linear, widths[-1], 1)}


def _layer(inputs: int, outputs: int, dropout: float) -> nn.Module:
    return nn.Sequential(nn.Linear(inputs, outputs), nn.ReLU(), nn.Dropout(dropout))
