"""How activations travel: as they are, in bfloat16 (half the bytes), or in eight bits (a quarter).

Eight bits a number, the range of each record divided evenly:  q = round((a - low) / step),
step = (high - low) / 255; low and step travel with the record. The gradient that comes down is taken for
the one at `a` itself. Both lose some of what the numbers say; neither has a guarantee, and noise is added
before.
"""

from collections.abc import Callable
from math import prod
from typing import Final, NamedTuple

import numpy as np
import torch
from torch import Tensor

from coordinator.algorithms.tensors import sent
from coordinator.errors import ProtocolError
from coordinator.protocol.messages import Array

LEVELS = 255
EXTRA_BYTES = 8  # of a record in eight bits: its lowest number and its step, float32


class Codec(NamedTuple):
    """To the wire and back; None: nothing to unpack."""

    pack: Callable[[Tensor], Array]
    unpack: Callable[[Array, tuple[int, ...], str], Tensor] | None


def pack_bf16(values: Tensor) -> Array:
    """Give (batch, ..., 2) uint8, the bytes of the rounded numbers."""
    rounded = values.detach().cpu().to(torch.bfloat16).contiguous()
    return sent(rounded.view(torch.uint8).view(*values.shape, 2))


def unpack_bf16(array: Array, shape: tuple[int, ...], sender: str) -> Tensor:
    """Give float32 of the shape.

    Raises:
        ProtocolError: it is of another shape.
    """
    found = checked(array, (*shape, 2), sender)
    return torch.from_numpy(found).view(torch.bfloat16).view(shape).float()


def pack_int8(values: Tensor) -> Array:
    """Give (batch, 8 + features) uint8: of each record low and step, then its numbers."""
    flat = sent(values).reshape(len(values), prod(values.shape[1:]))
    low = flat.min(axis=1, keepdims=True)
    step = (flat.max(axis=1, keepdims=True) - low) / LEVELS
    levels = np.clip(np.rint((flat - low) / np.where(step > 0, step, 1)), 0, LEVELS).astype(np.uint8)
    ends = np.concatenate([low, step], axis=1).astype("<f4")
    return np.concatenate([np.ascontiguousarray(ends).view(np.uint8).reshape(len(flat), -1), levels], axis=1)


def unpack_int8(array: Array, shape: tuple[int, ...], sender: str) -> Tensor:
    """Give float32 of the shape.

    Raises:
        ProtocolError: it is of another shape.
    """
    found = checked(array, (shape[0], EXTRA_BYTES + prod(shape[1:])), sender)
    ends = np.ascontiguousarray(found[:, :EXTRA_BYTES]).view("<f4")
    flat = ends[:, :1] + ends[:, 1:] * found[:, EXTRA_BYTES:].astype(np.float32)
    return torch.from_numpy(flat.astype(np.float32).reshape(shape))


def checked(array: Array, shape: tuple[int, ...], sender: str) -> Array:
    """Refuse packed activations of another shape or dtype."""
    if array.dtype != "uint8" or array.shape != shape:
        raise ProtocolError(f"'{sender}' sent {array.dtype} {array.shape}, expected uint8 {shape}", sender)
    return array


CODECS: Final = {
    "float32": Codec(sent, None),
    "bf16": Codec(pack_bf16, unpack_bf16),
    "int8": Codec(pack_int8, unpack_int8),
}
