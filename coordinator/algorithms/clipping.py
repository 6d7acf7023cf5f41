"""Gradient clipping: g <- g min(1, c / |g|) (Pascanu 2013, algorithm 1), to the bit as torch does it."""

import torch
from torch import Tensor

from coordinator.algorithms.optimizers import Optimizer
from coordinator.config import Clip

TINY = 1e-6  # torch's


def shortening(clip: Clip, norms: Tensor) -> Tensor:
    """Give what a gradient is multiplied by () from its tensors' lengths (tensors,), in the model's order."""
    return torch.clamp(clip.norm / (torch.linalg.vector_norm(norms) + TINY), max=1.0)


def alone(*optimizers: Optimizer) -> Tensor | None:
    """Give the factor for parameters that one party clips by themselves, or None without clipping."""
    clip = optimizers[0].training.clip
    return None if clip is None else shortening(clip, torch.cat([each.norms() for each in optimizers]))
