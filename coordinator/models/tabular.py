"""Networks over tables: logistic regression and the multilayer perceptron."""

from functools import partial

from torch import nn

from coordinator.config import Model
from coordinator.models.stages import Builders


def stages(model: Model, shape: tuple[int, ...], outputs: int = 1) -> Builders:
    """Describe each stage: (batch, features) in, (batch, outputs) logits out of the last.

    Args:
        model: `logistic_regression` has the head alone; `mlp` one layer per hidden width.
        shape: (features,).
        outputs: logits of a record.
    """
    hidden = () if model.name == "logistic_regression" else model.hidden
    return layers(shape[0], hidden, model.dropout, outputs)


def layers(inputs: int, hidden: tuple[int, ...], dropout: float, outputs: int = 1) -> Builders:
    """Describe layer1, layer2, ... and the head, after `inputs` numbers a record."""
    widths = [inputs, *hidden]
    numbered = {
        f"layer{i + 1}": partial(layer, widths[i], widths[i + 1], dropout) for i in range(len(hidden))
    }
    return {**numbered, "head": partial(nn.Linear, widths[-1], outputs)}


def layer(inputs: int, outputs: int, dropout: float) -> nn.Module:
    """Make one fully connected layer: (batch, inputs) to (batch, outputs)."""
    return nn.Sequential(nn.Linear(inputs, outputs), nn.ReLU(), nn.Dropout(dropout))
