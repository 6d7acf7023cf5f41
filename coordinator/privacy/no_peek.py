"""NoPeek: activations that correlate less with the inputs (Vepakomma 2020).

The front's loss gets the term  weight * dCor(x, a),  the distance correlation (Szekely 2007, definition 3) of
a batch's inputs and activations: of doubly centred distances A, B

    dCor^2 = <A, B> / sqrt(<A, A> <B, B>)
"""

import torch
from torch import Tensor

from coordinator.models.stages import Value

TINY = 1e-12


def flat(inputs: Value) -> Tensor:
    """Lay a batch's inputs in rows (batch, features), of all modalities."""
    several = inputs if isinstance(inputs, dict) else {"": inputs}
    return torch.cat([each.flatten(1) for name, each in several.items() if name != "present"], dim=1)


def distance_correlation(x: Tensor, a: Tensor) -> Tensor:
    """Give the distance correlation () of two samples (batch, ...), between 0 and 1."""
    one, other = centred(x.detach().to(a.device).flatten(1)), centred(a.flatten(1))
    both = (one * other).mean()
    spread = ((one * one).mean() * (other * other).mean()).clamp_min(TINY).sqrt()
    return (both.clamp_min(0) / spread + TINY).sqrt()


def centred(rows: Tensor) -> Tensor:
    """Give the doubly centred Euclidean distances (batch, batch) of rows (batch, features)."""
    lengths = rows.square().sum(1)
    squares = lengths.unsqueeze(1) + lengths.unsqueeze(0) - 2 * rows @ rows.T
    distances = squares.clamp_min(TINY).sqrt()  # the root has no slope at 0
    return distances - distances.mean(0) - distances.mean(1, keepdim=True) + distances.mean()
