"""Nested values to JSON and tensors, and back: what a checkpoint is made of."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

PLAIN = frozenset({type(None), bool, int, float, str})
TENSOR, ARRAY, MAPPING = "tensor", "array", "mapping"
Tensors = dict[str, Tensor]


def flatten(value: Any, name: str, tensors: Tensors) -> Any:
    """Give what JSON can hold of a value, and put its tensors and arrays under names that begin so.

    Mappings keep their keys' types and order; tuples become lists.

    Raises:
        TypeError: a value is neither a tensor, an array, a mapping, a sequence nor a plain one.
    """
    if type(value) in PLAIN:  # nearly all that there is
        return value
    match value:
        case Tensor():
            tensors[name] = value.detach()
            return {TENSOR: name}
        case np.ndarray():
            tensors[name] = torch.from_numpy(np.ascontiguousarray(value))
            return {ARRAY: name}
        case Mapping():
            return {MAPPING: [[key, flatten(each, f"{name}/{key}", tensors)] for key, each in value.items()]}
        case list() | tuple():
            return [flatten(each, f"{name}/{place}", tensors) for place, each in enumerate(value)]
        case int() | float() | str():  # such as numpy's own kind of float
            return value
    raise TypeError(f"{name}: a {type(value).__name__} cannot be kept")


def rebuild(kept: Any, tensors: Mapping[str, Tensor]) -> Any:
    """Give back what `flatten` took apart."""
    match kept:
        case {"tensor": name}:
            return tensors[name]
        case {"array": name}:
            return tensors[name].numpy()
        case {"mapping": pairs}:
            return {key: rebuild(each, tensors) for key, each in pairs}
        case list():
            return [rebuild(each, tensors) for each in kept]
    return kept
