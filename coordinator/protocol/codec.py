"""Messages to frames: a header, then the arrays' bytes in chunks; and back by `assembly`.

Frame 1 is the header (msgpack), frame 2 a chunk of at most 256 KiB. A message whose arrays are
larger goes on in further two-frame messages, each a ``Chunk`` header and its bytes. No pickle.
"""

from collections.abc import Iterator, Sequence
from math import prod
from typing import Any, Final

import msgspec
import numpy as np
from msgspec.structs import replace

from coordinator.errors import ProtocolError
from coordinator.protocol.messages import AnyMessage, Array, Message

CHUNK_BYTES: Final = 256 * 1024
HEADER_BYTES: Final = 1024 * 1024
ALIGNMENT: Final = 64
# what msgspec raises on bytes that are not what they should be
MALFORMED: Final = (msgspec.DecodeError, ValueError, RecursionError)
DTYPES: Final = {name: np.dtype(name) for name in ("float32", "float64", "int64", "uint8")}
NAMES: Final = {dtype.str: name for name, dtype in DTYPES.items()}  # numpy makes a name anew each time

Buffer = bytes | bytearray | memoryview
Frames = list[Buffer]


class Envelope(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What every first header carries: which incarnation speaks, the how-manieth message it is."""

    generation: int
    session: int
    sequence: int
    acknowledged: int
    message: AnyMessage


class Chunk(msgspec.Struct, frozen=True, tag="Chunk", array_like=True, forbid_unknown_fields=True):
    """The header of a message's further chunks."""

    sequence: int
    index: int


def aligned(shape: Sequence[int], dtype: str) -> Array:
    """Allocate an array on a 64-byte boundary, as torch does.

    A matrix product may add in another order at another alignment, so what was received lies in
    memory as what was computed would.
    """
    return aligned_bytes(prod(shape) * DTYPES[dtype].itemsize).view(DTYPES[dtype]).reshape(shape)


def aligned_bytes(count: int) -> Array:
    """Allocate so many bytes likewise."""
    raw = np.empty(count + ALIGNMENT, dtype=np.uint8)
    start = -raw.__array_interface__["data"][0] % ALIGNMENT
    return raw[start : start + count]


def encode(envelope: Envelope) -> Iterator[Frames]:
    """Turn a message into its two-frame messages; the arrays' memory is not copied when large."""
    arrays: list[Array] = []

    def described(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            arrays.append(value)
            return [NAMES.get(value.dtype.str) or value.dtype.name, value.shape]
        raise ProtocolError(f"a {type(value).__name__} cannot travel in a message")

    header = msgspec.msgpack.encode(envelope, enc_hook=described)
    check_size(header)
    parts = list(chunks(arrays))
    yield [header, *parts[:1]]
    for index, part in enumerate(parts[1:], start=1):
        yield [msgspec.msgpack.encode(Chunk(envelope.sequence, index)), part]


def chunks(arrays: Sequence[Array]) -> Iterator[Buffer]:
    """Cut arrays into pieces of at most 256 KiB; small arrays together make one piece."""
    views = [np.ascontiguousarray(array).data.cast("B") for array in arrays if array.size]
    if sum(view.nbytes for view in views) <= CHUNK_BYTES:
        if views:
            yield views[0] if len(views) == 1 else b"".join(views)
        return
    for view in views:
        for start in range(0, view.nbytes, CHUNK_BYTES):
            yield view[start : start + CHUNK_BYTES]


def unchanging(part: Buffer) -> Buffer:
    """Give bytes that stay as they are: a copy, where they might not."""
    return part if memoryview(part).readonly else bytes(part)


def frozen(message: Message) -> Message:
    """Give a message whose arrays nobody changes: one copy, for all to whom it is sent."""
    fields = {name: getattr(message, name) for name in message.__struct_fields__}
    arrays = {
        name: tuple(map(_still, value)) if isinstance(value, tuple) else _still(value)
        for name, value in fields.items()
        if isinstance(value, tuple | np.ndarray)
    }
    return replace(message, **arrays)


def _still(value: Any) -> Any:
    if not isinstance(value, np.ndarray):
        return value
    copy = value.copy()
    copy.flags.writeable = False
    return copy


def check_size(header: Buffer) -> None:
    """Refuse a header that is too long.

    Raises:
        ProtocolError: it is.
    """
    if len(header) > HEADER_BYTES:
        raise ProtocolError(f"a header of {len(header)} bytes; at most {HEADER_BYTES} are allowed")


def payload_bytes(frames: Frames) -> int:
    """Count the bytes of arrays in a two-frame message."""
    return len(frames[1]) if len(frames) > 1 else 0
