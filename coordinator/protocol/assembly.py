"""Frames to messages: each header checked, and its arrays put together chunk by chunk."""

from math import prod
from typing import Any

import msgspec
import numpy as np

from coordinator.errors import ProtocolError
from coordinator.protocol.codec import (
    CHUNK_BYTES,
    DTYPES,
    MALFORMED,
    Buffer,
    Chunk,
    Envelope,
    Frames,
    aligned_bytes,
    check_size,
)
from coordinator.protocol.messages import Array, Hello, Message, Refused


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
        check_size(header)
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
        memory = aligned_bytes(size)
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
