"""How activations travel: as they are, in bfloat16 or float16 (half the bytes), or in eight bits (a quarter).

bfloat16 keeps float32's range with 8 bits of precision; float16 has 11, and what is beyond its largest number
(65504) becomes that.
Eight bits a number, the range of each record divided evenly:  q = round((a - low) / step),
step = (high - low) / 255; low and step travel with the record. The gradient that comes down is taken for
the one at `a` itself. All lose some of what the numbers say; none has a guarantee, and noise is added before.
"""

from collections.abc import Callable
from functools import partial
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


def pack_half(values: Tensor, dtype: torch.dtype) -> Array:
    """Give (batch, ..., 2) uint8, the bytes of the numbers rounded to a dtype of 16 bits."""
    largest = torch.finfo(dtype).max
    rounded = values.detach().cpu().clamp(-largest, largest).to(dtype).contiguous()
    return sent(rounded.view(torch.uint8).view(*values.shape, 2))


def unpack_half(array: Array, shape: tuple[int, ...], sender: str, dtype: torch.dtype) -> Tensor:
    """Give float32 of the shape.

    Raises:
        ProtocolError: it is of another shape.
    """
    found = checked(array, (*shape, 2), sender)
    return torch.from_numpy(found).view(dtype).view(shape).float()


def half(dtype: torch.dtype) -> Codec:
    """Give the codec of a dtype of 16 bits."""
    return Codec(partial(pack_half, dtype=dtype), partial(unpack_half, dtype=dtype))


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
    "bf16": half(torch.bfloat16),
    "fp16": half(torch.float16),
    "int8": Codec(pack_int8, unpack_int8),
}
