"""What a message weighs: its arrays, headers and arrays, and what ZeroMQ makes of these on the wire."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from coordinator.protocol.codec import Buffer

# A frame under CURVE is a command of ZMTP 3.1 (RFC 23, 26): "\x07MESSAGE", a nonce of 8 bytes, and a box of
# 16 bytes, a byte of flags and the frame; before it a byte of flags and its length in 1 byte or 8.
SEALED: Final = 8 + 8 + 16 + 1
SHORT: Final = 255
COUNTS: Final = ("payload", "bytes", "wire")


class Size(NamedTuple):
    """Bytes of a message's arrays, of its headers and arrays, and of these as encrypted frames."""

    payload: int = 0
    bytes: int = 0
    wire: int = 0

    def plus(self, frames: Iterable[Buffer]) -> "Size":
        """Add one two-frame message: a header and, behind it, a chunk of arrays."""
        lengths = [len(frame) for frame in frames]
        return Size(
            self.payload + sum(lengths[1:]), self.bytes + sum(lengths), self.wire + sum(map(on_wire, lengths))
        )


def size_of(message: Iterable[Iterable[Buffer]]) -> Size:
    """Weigh all of a message's two-frame messages."""
    size = Size()
    for frames in message:
        size = size.plus(frames)
    return size


class Counts:
    """Bytes by direction, phase and kind of message: ``up.training.activations``."""

    def __init__(self) -> None:
        """Start at none."""
        self.payload, self.bytes, self.wire = Counter[str](), Counter[str](), Counter[str]()

    def add(self, name: str, size: Size) -> None:
        """Count one message."""
        self.payload[name] += size.payload
        self.bytes[name] += size.bytes
        self.wire[name] += size.wire

    def state(self) -> dict[str, dict[str, int]]:
        """Give all three."""
        return {count: dict(getattr(self, count)) for count in COUNTS}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on counting from there."""
        self.payload, self.bytes, self.wire = (Counter(state[count]) for count in COUNTS)


def on_wire(length: int) -> int:
    """Give the bytes that a frame takes on an encrypted connection: 35 more than it has, or 42 if long."""
    sealed = SEALED + length
    return sealed + (2 if sealed <= SHORT else 9)


def together(several: Iterable[Counts]) -> Counts:
    """Add up several lines' counts."""
    total = Counts()
    for each in several:
        for count in COUNTS:
            getattr(total, count).update(getattr(each, count))
    return total
