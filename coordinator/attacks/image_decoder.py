"""Inversion of activations that are still images by a convolutional decoder (He 2019, black box).

Where activations lie on a grid, what a place shows depends on few units near it; a decoder of convolutions
learns that from far fewer auxiliary images than one of all units (`decoder`).
"""

from collections.abc import Callable
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from coordinator.algorithms.optimizers import Optimizer
from coordinator.attacks.defence import UNDEFENDED, Known
from coordinator.attacks.early_stopping import CHECK_EVERY, Best, set_aside
from coordinator.config import Training
from coordinator.draws import key

Floats = NDArray[np.float32]
WIDTH: Final = 32
BATCH: Final = 16
RATE: Final = 0.003


def train_image_decoder(
    activations: Floats, images: Floats, *, seed: int, steps: int, defence: Known = UNDEFENDED
) -> Callable[[Floats], Floats]:
    """Learn to give images from activations.

    Args:
        activations: (n, units, height, width) float32 of auxiliary images.
        images: (n, channels, height, width) float32, what the front was given.
        seed: keys the network's first parameters and its batches.
        steps: of a batch each.
        defence: that the activations to decode went through; drawn anew in each step.

    Returns: activations (m, ...) to images (m, channels, height, width).
    """
    passed = defence.learned_from(activations)[0]
    mean, spread = (how(passed, axis=(0, 2, 3), keepdims=True) for how in (np.mean, np.std))
    scale = np.where(spread > 1e-6, spread, np.float32(1))
    network = _network(activations.shape[1], images.shape[1:], seed)
    middle, width = torch.from_numpy(mean), torch.from_numpy(scale)
    x, y = torch.from_numpy(activations), torch.from_numpy(images)

    def error(records: NDArray[np.int64]) -> Tensor:
        chosen = torch.from_numpy(records)
        return ((network((defence.released(x[chosen]) - middle) / width) - y[chosen]) ** 2).mean()

    _fit(network, error, *set_aside(len(x), seed, "image decoder"), seed=seed, steps=steps)

    def decode(values: Floats) -> Floats:
        with torch.inference_mode():
            found: Floats = network(torch.from_numpy((values - mean) / scale)).numpy()
        return found

    return decode


def _fit(
    network: nn.Module, error: Callable[[NDArray[np.int64]], Tensor], check: NDArray[np.int64],
    learn: NDArray[np.int64], *, seed: int, steps: int,
) -> None:  # fmt: skip
    """Descend on the error of some records; the network is kept as it was best on others."""
    optimizer = Optimizer(network, Training(optimizer="adam", schedule="cosine", rounds=steps), RATE)
    draws, best = np.random.default_rng(key(seed, "image decoder")), Best([network])
    for step in range(steps + 1):
        if step % CHECK_EVERY == 0 or step == steps:  # before any step too
            with torch.no_grad():
                best.check(float(error(check)))
        if step < steps:
            error(draws.choice(learn, size=min(BATCH, len(learn)), replace=False)).backward()
            optimizer.descend(step)
    best.restore()


def _network(units: int, shape: tuple[int, ...], seed: int) -> nn.Module:
    channels, height, width = shape
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(key(seed, "image decoder", "init"))
        return nn.Sequential(
            nn.Upsample(size=(height, width)),
            nn.Conv2d(units, WIDTH, 3, padding=1), nn.ReLU(),
            nn.Conv2d(WIDTH, WIDTH, 3, padding=1), nn.ReLU(),
            nn.Conv2d(WIDTH, channels, 3, padding=1),
        )  # fmt: skip
