"""A small Transformer encoder over masked hourly grids (Vaswani 2017), each step of the grid a token."""

import math
from functools import partial

import torch
from torch import Tensor, nn

from coordinator.config import Model
from coordinator.models.stages import Builders
from coordinator.models.tabular import layers

EXPANSION = 4  # width of a block's hidden layer over that of its tokens, as published


def stages(model: Model, shape: tuple[int, ...], outputs: int = 1) -> Builders:
    """Describe the stages: (batch, steps, columns) in, (batch, outputs) logits out of the last.

    The columns are the variables, carried forward, and as many masks; no step is padded, so all are attended.

    Args:
        model: `transformer`; the first hidden width is its tokens', the others are layers after their mean.
        shape: (steps, columns).
        outputs: logits of a record.
    """
    width, *hidden = model.hidden
    embed = {"embed": partial(Embedding, shape, width, model.dropout)}
    blocks = {f"block{i + 1}": partial(Block, width, model.heads, model.dropout) for i in range(model.blocks)}
    last = layers(width, tuple(hidden), model.dropout, outputs)
    return {**embed, **blocks, "pool": partial(Pool, width), **last}


class Embedding(nn.Module):
    """Steps to tokens that know their place: (batch, steps, columns) to (batch, steps, width)."""

    def __init__(self, shape: tuple[int, ...], width: int, dropout: float) -> None:
        """Make the projection and the sinusoids (Vaswani 2017, section 3.5)."""
        super().__init__()
        steps, columns = shape
        self.project = nn.Linear(columns, width)
        self.dropout = nn.Dropout(dropout)
        # computed, not learned: no part of the model's files
        self.register_buffer("places", _sinusoids(steps, width), persistent=False)

    def forward(self, value: Tensor) -> Tensor:
        """Project each step and add its place."""
        tokens: Tensor = self.dropout(self.project(value) + self.places)
        return tokens


class Block(nn.Module):
    """Self-attention and a hidden layer, each after layer norm and beside a skip (Xiong 2020, pre-norm).

    Attention is asked for its weights, so that torch computes it as matrix products in training and in
    evaluation alike, and each is counted; its fused kernels change bits and are not.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        """Make the layers."""
        super().__init__()
        self.before_attention, self.before_hidden = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, dropout=dropout, batch_first=True)
        self.hidden = nn.Sequential(
            nn.Linear(width, EXPANSION * width),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(EXPANSION * width, width),
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, value: Tensor) -> Tensor:
        """Attend, then think: (batch, steps, width) to the same."""
        tokens = self.before_attention(value)
        attended, _ = self.attention(tokens, tokens, tokens, need_weights=True)
        value = value + self.dropout(attended)
        thought: Tensor = value + self.dropout(self.hidden(self.before_hidden(value)))
        return thought


class Pool(nn.Module):
    """The mean token: (batch, steps, width) to (batch, width)."""

    def __init__(self, width: int) -> None:
        """Make the last layer norm."""
        super().__init__()
        self.norm = nn.LayerNorm(width)

    def forward(self, value: Tensor) -> Tensor:
        """Normalise, then average over the steps."""
        mean: Tensor = self.norm(value).mean(dim=1)
        return mean


def _sinusoids(steps: int, width: int) -> Tensor:
    place = torch.arange(steps, dtype=torch.float32)[:, None]
    rate = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000.0) / width))
    both = torch.stack([torch.sin(place * rate), torch.cos(place * rate)], dim=2)  # (steps, width / 2, 2)
    return both.flatten(1)[:, :width]
