"""Random changes to training images, drawn from the step's place in the schedule.

Rotation, shift and mirror image of a record become one matrix, and a batch is resampled once, by MONAI's
`AffineTransform`. MONAI's transforms of single images do the same one after the other: at 64 x 64 they take
about as long as the training step itself.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from coordinator.algorithms.training import Draw
from coordinator.draws import key

PROBABILITY: Final = 0.5  # of each change, for each image
LARGEST_ANGLE: Final = 0.2  # radians to either side
LARGEST_SHIFT: Final = 0.05  # of the image's side, in each direction
LARGEST_CONTRAST: Final = 0.2  # a factor of 0.8 to 1.2 on normalised pixels
Matrices = npt.NDArray[np.float64]


def augmented(images: Tensor, how: tuple[str, ...], draw: Draw) -> Tensor:
    """Change each image of a batch in its own way; what lies outside an image is its edge, repeated.

    Args:
        images: (batch, channels, side, side) float32, normalised.
        how: names of `MATRICES`, and `contrast`.
        draw: keys what is drawn, so that every arm changes a batch alike.
    """
    moves = np.tile(np.eye(3), (len(images), 1, 1))
    for name in (name for name in how if name in MATRICES):
        moves = moves @ _for_some(MATRICES[name], len(images), (*draw, name))
    if any(name in MATRICES for name in how):
        images = _resampled(images, moves)
    if "contrast" in how:
        factors = _for_some(_contrast, len(images), (*draw, "contrast"))[:, :1, :1, None]
        images = images * torch.from_numpy(factors.astype(np.float32))
    return images.contiguous()


def _resampled(images: Tensor, moves: Matrices) -> Tensor:
    # imported where a study asks for it: it takes seconds
    from monai.networks.layers import AffineTransform

    layer = AffineTransform(
        normalized=True, padding_mode="border", align_corners=False, reverse_indexing=False
    )
    moved: Tensor = layer(images, torch.from_numpy(moves[:, :2].astype(np.float32)), images.shape[2:])
    return moved


def _for_some(make: Callable[[np.random.Generator, int], Matrices], count: int, draw: Draw) -> Matrices:
    random = np.random.default_rng(key(*draw))
    chosen = random.random(count) < PROBABILITY
    return np.where(chosen[:, None, None], make(random, count), np.eye(3))


def _flip(random: np.random.Generator, count: int) -> Matrices:
    return np.tile(np.diag([-1.0, 1.0, 1.0]), (count, 1, 1))


def _rotate(random: np.random.Generator, count: int) -> Matrices:
    angles = random.uniform(-LARGEST_ANGLE, LARGEST_ANGLE, count)
    turns = np.tile(np.eye(3), (count, 1, 1))
    turns[:, 0, 0] = turns[:, 1, 1] = np.cos(angles)
    turns[:, 0, 1], turns[:, 1, 0] = -np.sin(angles), np.sin(angles)
    return turns


def _shift(random: np.random.Generator, count: int) -> Matrices:
    shifts = np.tile(np.eye(3), (count, 1, 1))
    shifts[:, :2, 2] = random.uniform(-2 * LARGEST_SHIFT, 2 * LARGEST_SHIFT, (count, 2))  # a side is 2 long
    return shifts


def _contrast(random: np.random.Generator, count: int) -> Matrices:
    return random.uniform(1 - LARGEST_CONTRAST, 1 + LARGEST_CONTRAST, (count, 1, 1)) * np.eye(3)


# where in the image, from -1 to 1 along x and y, a pixel of the changed one is taken from
MATRICES: Final[dict[str, Callable[[np.random.Generator, int], Matrices]]] = {
    "flip": _flip,
    "rotate": _rotate,
    "shift": _shift,
}
