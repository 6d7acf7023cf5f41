"""Tensors to the wire's arrays and back, checked."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from coordinator.errors import ProtocolError
from coordinator.protocol.messages import Array
from coordinator.specs import Run

FLOAT32 = np.dtype("float32")


def sent(tensor: Tensor) -> Array:
    """Give a tensor's memory as an array, without copying where it is on the CPU."""
    array: Array = tensor.detach().cpu().contiguous().numpy()
    return array


def one(array: Array | None, shape: tuple[int, ...], sender: str) -> Tensor:
    """Take a received float32 array of the expected shape as a tensor, without copying.

    Raises:
        ProtocolError: dtype or shape is another.
    """
    if array is None or array.dtype != FLOAT32 or array.shape != shape:
        found = "nothing" if array is None else f"{array.dtype} {array.shape}"
        raise ProtocolError(f"'{sender}' sent {found} where float32 {shape} was expected", sender)
    return torch.from_numpy(array)


def labels_from(array: Array | None, count: int, run: Run, site: str) -> Tensor:
    """Take a site's labels (count,) float32; of more than two classes each is a class's number.

    Raises:
        ProtocolError: dtype or shape is another, or there is no such class.
    """
    labels = one(array, (count,), site)
    if run.classes and not bool(torch.isin(labels, torch.arange(float(len(run.classes)))).all()):
        raise ProtocolError(f"'{site}' sent a label that is none of the {len(run.classes)} classes", site)
    return labels


def received(arrays: Sequence[Array], shapes: Sequence[tuple[int, ...]], sender: str) -> list[Tensor]:
    """Take several received arrays.

    Raises:
        ProtocolError: there are more or fewer, or one does not fit.
    """
    if len(arrays) != len(shapes):
        raise ProtocolError(f"'{sender}' sent {len(arrays)} tensors, expected {len(shapes)}", sender)
    return [one(array, shape, sender) for array, shape in zip(arrays, shapes, strict=True)]


def apart(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Lay out tensors as files want them: contiguous, and none twice (tied weights have several names)."""
    seen: set[int] = set()
    found = {}
    for name, value in tensors.items():
        place = value.data_ptr() if value.numel() else 0
        found[name] = value.clone().contiguous() if place in seen else value.contiguous()
        seen |= {place} - {0}
    return found
