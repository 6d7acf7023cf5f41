"""Late fusion: one front per modality, which stays at the site; what they give is laid side by side."""

from functools import partial

import torch
from torch import Tensor, nn

from coordinator.config import Model
from coordinator.models import imaging
from coordinator.models.series import LastState
from coordinator.models.stages import Builders
from coordinator.models.tabular import layer, layers

NAMES = ("table", "series", "image")


def stages(model: Model, shape: tuple[int, ...] | dict[str, tuple[int, ...]], outputs: int = 1) -> Builders:
    """Describe the stages: a batch per modality in, (batch, outputs) logits out of the last.

    Args:
        model: `fusion`; the first hidden width is each modality's, the others are layers after the fusion.
        shape: one record's shape per modality, and `present`: how many modalities.
        outputs: logits of a record.

    Raises:
        KeyError: the records have one modality only.
    """
    assert isinstance(shape, dict), "a fusion reads several modalities"
    shapes = {name: shape[name] for name in NAMES if name in shape}
    width, *hidden = model.hidden
    together = width * len(shapes) + len(shapes)
    first = {"fronts": partial(Fronts, model, shapes)}
    return {**first, **layers(together, tuple(hidden), model.dropout, outputs)}


class Fronts(nn.Module):
    """An encoder per modality; what an absent one gives is zeros, and flags say which are there."""

    def __init__(self, model: Model, shapes: dict[str, tuple[int, ...]]) -> None:
        """Make the encoders."""
        super().__init__()
        self.encoders = nn.ModuleDict({name: _encoder(name, model, each) for name, each in shapes.items()})

    def forward(self, value: dict[str, Tensor]) -> Tensor:
        """Encode: (batch, ...) per modality to (batch, modalities * width + modalities)."""
        present = value["present"]  # (batch, modalities)
        encoded = [
            encoder(value[name]) * present[:, place : place + 1]
            for place, (name, encoder) in enumerate(self.encoders.items())
        ]
        return torch.cat([*encoded, present], dim=1)


def _encoder(name: str, model: Model, shape: tuple[int, ...]) -> nn.Module:
    width = model.hidden[0]
    if name == "table":
        return layer(shape[0], width, model.dropout)
    if name == "series":
        return LastState(shape[1], width, model.dropout)
    *convolutions, _ = imaging.stages(model, shape).values()
    flat = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), layer(model.channels[-1], width, model.dropout))
    return nn.Sequential(*(build() for build in convolutions), *flat)
