"""Messages to frames and back: a checked header, then the arrays' bytes in chunks.

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
from coordinator.protocol.messages import AnyMessage, Array, Hello, Message, Refused

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
    return _aligned_bytes(prod(shape) * DTYPES[dtype].itemsize).view(DTYPES[dtype]).reshape(shape)


def _aligned_bytes(count: int) -> Array:
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
    _check_size(header)
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


class Arriving:
    """A message of which the header is here and the arrays' bytes are still coming in."""

    def __init__(self, header: Buffer, limit: int) -> None:
        """Decode a header.

        Args:
            header: the first frame.
            limit: bytes of arrays that one message may carry.

        Raises:
            ProtocolError: the header is not of a message, or its arrays are over the limit.
        """
        self._bytes: list[Array] = []  # each array's memory, flat
        self._left = limit
        _check_size(header)
        try:
            self.envelope: Envelope = msgspec.msgpack.decode(header, type=Envelope, dec_hook=self._described)
        except MALFORMED as error:
            raise ProtocolError(f"a header that is not of this protocol: {error}") from None
        self._places = _places(self._bytes)
        self._next = 0

    def _described(self, kind: type, value: Any) -> Any:
        dtype, shape = value if isinstance(value, list) and len(value) == 2 else ("", [-1])
        if dtype not in DTYPES or not _is_shape(shape):
            raise ValueError(f"an array described as {value!r:.80} cannot travel")
        size = prod(shape) * DTYPES[dtype].itemsize
        self._left -= size
        if self._left < 0:
            raise ValueError(f"arrays over the limit of this conversation by {-self._left} bytes")
        memory = _aligned_bytes(size)
        if size:
            self._bytes.append(memory)
        return memory.view(DTYPES[dtype]).reshape(shape)

    def take(self, chunk: Buffer | None) -> bool:
        """Put the next chunk in its place; say whether the message is whole.

        Raises:
            ProtocolError: a chunk too many, too few or of another size than announced.
        """
        if chunk is None or self._next >= len(self._places):
            if chunk is None and not self._places:
                return True
            found, expected = ("no chunk", "one") if chunk is None else ("a chunk", "none")
            raise ProtocolError(f"{found} came where {expected} was announced")
        places = self._places[self._next]
        if len(chunk) != (size := sum(map(len, places))):
            raise ProtocolError(f"a chunk of {len(chunk)} bytes came, {size} were announced")
        start = 0
        for place in places:
            place[:] = np.frombuffer(chunk, dtype=np.uint8, count=len(place), offset=start)
            start += len(place)
        self._next += 1
        return self._next == len(self._places)

    @property
    def chunks(self) -> tuple[int, int]:
        """Count the chunks that are here, and all."""
        return self._next, len(self._places)

    def check_next(self, header: Buffer) -> None:
        """Check the header of a further chunk.

        Raises:
            ProtocolError: it is not the next chunk of this message.
        """
        try:
            chunk = msgspec.msgpack.decode(header, type=Chunk)
        except MALFORMED as error:
            raise ProtocolError(f"expected the next chunk of a message: {error}") from None
        if (chunk.sequence, chunk.index) != (self.envelope.sequence, self._next):
            raise ProtocolError(
                f"chunk {chunk.index} of message {chunk.sequence} came, chunk {self._next} of "
                f"message {self.envelope.sequence} was expected"
            )


class Assembly:
    """Puts two-frame messages together to whole ones."""

    def __init__(self, limit: int) -> None:
        """Begin with none; ``limit`` is the bytes of arrays that one message may carry."""
        self._limit = limit
        self._arriving: Arriving | None = None

    def take(self, frames: Frames) -> Envelope | None:
        """Take the next two-frame message; give the whole, once it is.

        Raises:
            ProtocolError: it is none, or not the next of the one that has begun.
        """
        if len(frames) > 2:
            raise ProtocolError(f"{len(frames)} frames came, at most 2 make a message")
        if self._arriving is None:
            self._arriving = Arriving(frames[0], self._limit)
        else:
            self._arriving.check_next(frames[0])
        arriving = self._arriving
        if not arriving.take(frames[1] if len(frames) == 2 else None):
            return None
        self._arriving = None
        return arriving.envelope

    @property
    def chunks(self) -> tuple[int, int]:
        """Count the chunks of the message under way: those here, and all; 0 of none."""
        return self._arriving.chunks if self._arriving else (0, 0)

    @property
    def sequence(self) -> int:
        """Give the number of the message under way, 0 for none."""
        return self._arriving.envelope.sequence if self._arriving else 0

    def drop(self) -> None:
        """Forget half a message."""
        self._arriving = None


def _places(arrays: list[Array]) -> list[list[Array]]:
    """Say where each chunk's bytes go, by the rule of `chunks`."""
    if not arrays:
        return []
    if sum(map(len, arrays)) <= CHUNK_BYTES:
        return [arrays]
    return [
        [array[start : start + CHUNK_BYTES]]
        for array in arrays
        for start in range(0, len(array), CHUNK_BYTES)
    ]  # fmt: skip


def _check_size(header: Buffer) -> None:
    if len(header) > HEADER_BYTES:
        raise ProtocolError(f"a header of {len(header)} bytes; at most {HEADER_BYTES} are allowed")


def _is_shape(shape: Any) -> bool:
    return (
        isinstance(shape, list)
        and len(shape) <= 8
        and all(type(extent) is int and 0 <= extent < 2**40 for extent in shape)
    )


def hello_in(frames: Frames) -> Hello | None:
    """Give the Hello that a message is, None if it is anything else."""
    message = _small(frames)
    return message if isinstance(message, Hello) else None


def refusal_in(frames: Frames) -> bool:
    """Say whether a message is a Refused."""
    return isinstance(_small(frames), Refused)


def _small(frames: Frames) -> Message | None:
    """Give a message without arrays, None if it is anything else."""
    try:
        return Arriving(frames[0], 0).envelope.message if len(frames) == 1 else None
    except ProtocolError:
        return None


def payload_bytes(frames: Frames) -> int:
    """Count the bytes of arrays in a two-frame message."""
    return len(frames[1]) if len(frames) > 1 else 0
