"""Tensors to a safetensors file and back, piece by piece: no copy of them all lies in memory meanwhile.

The format is safetensors' own (its documentation, "Format"): eight bytes of length, a header in JSON, the
tensors' memory, type by type. The library's own writer to memory, and
its reader from there, hold a second copy.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

import torch
from torch import Tensor

LENGTH_BYTES: Final = 8
METADATA: Final = "__metadata__"
DTYPES: Final = {  # in the order in which the library's writer puts them
    "I64": torch.int64,
    "F64": torch.float64,
    "F32": torch.float32,
    "I32": torch.int32,
    "BF16": torch.bfloat16,
    "F16": torch.float16,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
ORDER: Final = {dtype: place for place, dtype in enumerate(DTYPES.values())}
NAMES: Final = {dtype: name for name, dtype in DTYPES.items()}


def pieces(
    tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> Iterator[bytes | memoryview]:
    """Give a file's content, to the bit the library's: the header, then each tensor's own memory.

    Args:
        tensors: on the CPU, contiguous, none of them another's memory.
        metadata: stands in the header.
    """
    order = sorted(tensors.items(), key=lambda each: (ORDER[each[1].dtype], each[0]))
    header: dict[str, Any] = {METADATA: dict(metadata)} if metadata else {}
    end = 0
    for name, tensor in order:
        start, end = end, end + tensor.nbytes
        header[name] = {
            "dtype": NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
    encoded = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    encoded += b" " * (-len(encoded) % LENGTH_BYTES)
    yield len(encoded).to_bytes(LENGTH_BYTES, "little") + encoded
    for _, tensor in order:
        if tensor.nbytes:
            yield _memory(tensor)


def read_metadata(path: Path) -> dict[str, str]:
    """Read what a file's header says beside its tensors."""
    with path.open("rb") as file:
        found: dict[str, str] = _header(file).get(METADATA, {})
    return found


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read all tensors of a file that is known to be sound, each into memory of its own."""
    with path.open("rb") as file:
        header = _header(file)
        header.pop(METADATA, None)
        in_order = sorted(header.items(), key=lambda each: each[1]["data_offsets"])
        return {name: _read(file, about) for name, about in in_order}


def _read(file: BinaryIO, about: dict[str, Any]) -> Tensor:
    tensor = torch.empty(about["shape"], dtype=DTYPES[about["dtype"]])
    if tensor.nbytes:
        file.readinto(_memory(tensor))  # type: ignore[attr-defined]
    return tensor


def _header(file: BinaryIO) -> dict[str, Any]:
    length = int.from_bytes(file.read(LENGTH_BYTES), "little")
    found: dict[str, Any] = json.loads(file.read(length))
    return found


def _memory(tensor: Tensor) -> memoryview:
    found: memoryview = tensor.detach().reshape(-1).view(torch.uint8).numpy().data
    return found
