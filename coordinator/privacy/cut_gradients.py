"""Noise on gradients that would tell labels by their length or direction, where labels stay (Li 2022).

In U-shaped training the loss's gradient at the middle's output goes up; its rows g_j differ by label.

    max_norm  g_j <- g_j (1 + s_j z_j),  s_j^2 = max_k |g_k|^2 / |g_j|^2 - 1:  all rows as long as the
              longest, in expectation
    marvell   g_j <- g_j + noise of its class, of the covariances with the least sum of Kullback-Leibler
              divergences between the classes at the power P = 4 |D|^2, D the difference of the means

Neither is differential privacy.
"""

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from coordinator.privacy.secret_noise import gaussian

Floats = NDArray[np.float64]
POWER: Final = 4.0
TINY: Final = 1e-12


def max_norm(rows: Tensor, labels: Tensor, key: bytes) -> Tensor:
    """Give the rows (batch, ...), each stretched at random along itself; `key` is of the secret noise."""
    flat = _flat(rows)
    lengths = np.linalg.norm(flat, axis=1)
    ratio = np.divide(lengths.max(), lengths, out=np.ones_like(lengths), where=lengths > 0)
    stretched = flat * (1 + np.sqrt(ratio**2 - 1) * gaussian(key, (len(flat),)))[:, None]
    return _like(stretched, rows)


def marvell(rows: Tensor, labels: Tensor, key: bytes) -> Tensor:
    """Give the rows (batch, ...) under the noise of their class; where a batch has one class, `max_norm`."""
    flat, positive = _flat(rows), labels.cpu().numpy() > 0.5
    difference = (
        flat[positive].mean(axis=0) - flat[~positive].mean(axis=0) if 0 < positive.mean() < 1 else None
    )
    if difference is None or not (size := float(np.linalg.norm(difference))):
        return max_norm(rows, labels, key)
    spreads = [float(flat[each].var(axis=0).mean()) for each in (positive, ~positive)]
    powers = least_divergence(spreads, size**2, float(positive.mean()), flat.shape[1])
    drawn = gaussian(key, (len(flat), flat.shape[1] + 1))
    along, across = np.where(positive[:, None], powers[:2], powers[2:]).T
    direction = difference / size
    around = drawn[:, 1:] - (drawn[:, 1:] @ direction)[:, None] * direction
    noise = np.sqrt(along)[:, None] * drawn[:, :1] * direction + np.sqrt(across)[:, None] * around
    return _like(flat + noise, rows)


def least_divergence(spreads: list[float], gap: float, share: float, width: int) -> Floats:
    """Give the noise's variances (4,): along D and across it, of positive and then of negative rows.

    Args:
        spreads: variance of a coordinate among the positive rows, and among the negative.
        gap: |D|^2.
        share: of positive rows.
        width: number of coordinates.
    """
    u, v = (spread / gap + TINY for spread in spreads)  # in units of |D|^2
    from scipy.optimize import minimize  # seldom needed, and half a second in every process

    per_power = np.array([share, share * (width - 1), 1 - share, (1 - share) * (width - 1)])

    def divergence(x: Floats) -> float:
        along, across, other_along, other_across = x + np.array([u, u, v, v])
        return float(
            (width - 1) * (other_across / across + across / other_across)
            + (other_along + 1) / along + (along + 1) / other_along
        )  # fmt: skip

    def within(x: Floats) -> float:
        return float(POWER - per_power @ x)

    def ordered(x: Floats) -> Floats:
        return np.array([x[0] - x[1], x[2] - x[3]])

    conditions = [{"type": "ineq", "fun": within}, {"type": "ineq", "fun": ordered}]
    start = np.array([POWER / 2, 0.0, POWER / 2, 0.0])
    found = minimize(divergence, start, bounds=[(0, None)] * 4, constraints=conditions, method="SLSQP")
    best = found.x if divergence(found.x) <= divergence(start) else start
    return np.clip(best, 0, None) * gap


def _flat(rows: Tensor) -> Floats:
    return rows.detach().cpu().double().flatten(1).numpy()


def _like(flat: Floats, rows: Tensor) -> Tensor:
    return torch.from_numpy(flat.astype(np.float32).reshape(rows.shape)).to(rows.device)


CUT_GRADIENTS: Final = {"max_norm": max_norm, "marvell": marvell}
