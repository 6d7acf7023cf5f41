"""One release of several records, each clipped and under noise of its own.

    a_i <- a_i min(1, C / |a_i|) + s C z_i        z_i standard normal, |.| Euclidean; or Laplace, |.| the sum

Computed in float64 and rounded to float32, which hides most of how the noise itself was rounded; there is no
proof against attacks on floating-point noise (Mironov 2012).
"""

import numpy as np
import torch
from torch import Tensor

from coordinator.config import Noise
from coordinator.privacy.secret_noise import DRAWS

TINY = 1e-6  # relative; a clipped record is never longer than the clip
ORDER = {"gaussian": 2.0, "laplace": 1.0}


def clipped(values: Tensor, clip: float, order: float) -> Tensor:
    """Shorten each record (batch, ...) to a length, by the norm of an order; what is no number becomes 0."""
    values = torch.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    lengths = torch.linalg.vector_norm(values.flatten(1), ord=order, dim=1)
    factors = torch.clamp(clip / (lengths * (1 + TINY) + TINY * clip), max=1.0)
    return values * factors.view(-1, *[1] * (values.dim() - 1))


def noised(values: Tensor, noise: Noise, clip: float, scale: float, key: bytes) -> Tensor:
    """Add noise of so many clips to clipped records; gradients pass."""
    drawn = DRAWS[noise.mechanism](key, tuple(values.shape)) * (scale * clip)
    exact = values.detach().cpu().double().numpy() + drawn
    rounded = torch.from_numpy(exact.astype(np.float32)).to(values.device)
    return values + (rounded - values.detach()) if values.requires_grad else rounded
