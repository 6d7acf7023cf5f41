"""Networks over images."""

from functools import partial

from torch import nn

from coordinator.config import Model
from coordinator.models.stages import Builders

GROUPS = 4


def stages(model: Model, shape: tuple[int, ...], outputs: int = 1) -> Builders:
    """Describe the small CNN's stages: (batch, channels, height, width) in, (batch, outputs) logits out.

    Group norm, since batch statistics differ between a site's batches and the pool's.

    Args:
        model: `cnn`, one convolution per entry of `channels`, each halving height and width.
        shape: (channels, height, width).
        outputs: logits of a record.
    """
    widths = [shape[0], *model.channels]
    convolutions = {
        f"conv{i + 1}": partial(_convolution, widths[i], widths[i + 1], model.dropout)
        for i in range(len(model.channels))
    }
    return {**convolutions, "head": partial(_head, widths[-1], outputs)}


def _convolution(inputs: int, outputs: int, dropout: float) -> nn.Module:
    groups = GROUPS if outputs % GROUPS == 0 else 1
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel_size=3, padding=1),
        nn.GroupNorm(groups, outputs),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout2d(dropout),
    )


def _head(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, outputs))
