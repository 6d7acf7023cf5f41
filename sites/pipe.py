"""The local socket between a training process and the gate outside it: kinds of items, each of some parts."""

import select
import socket
import struct
from collections import deque
from collections.abc import Sequence
from typing import Final

from coordinator.errors import ProtocolError
from coordinator.protocol.codec import Buffer

FRAMES: Final = b"F"  # of a message, in either direction
REFUSED: Final = b"R"  # the coordinator refused this site's key
ANSWER: Final = b"A"  # to what was asked of the gate, whose kinds are `sites.far_gate`'s
MOST_PARTS: Final = 8
READ_BYTES: Final = 1 << 20
_HEAD: Final = struct.Struct("!cB")
_LENGTH: Final = struct.Struct("!Q")

Item = tuple[bytes, list[bytes]]


class Pipe:
    """One end of a connection; it reads while it waits to write: two ends never wait for each other."""

    def __init__(self, connection: socket.socket, most: int) -> None:
        """Take a connected socket, and how many bytes an item may have; `ended` says when it has."""
        connection.setblocking(False)
        self._socket, self._most = connection, most
        self._read = bytearray()
        self._items: deque[Item] = deque()
        self.ended = False

    def fileno(self) -> int:
        """Give the descriptor, to wait for."""
        return self._socket.fileno()

    def is_cut(self) -> bool:
        """Say whether the other end is gone, though what it had written may still be to be read."""
        poll = select.poll()
        poll.register(self.fileno(), select.POLLRDHUP)
        return self.ended or bool(poll.poll(0))

    def send(self, kind: bytes, *parts: Buffer) -> None:
        """Write an item; nothing where the other end is gone."""
        head = _HEAD.pack(kind, len(parts)) + b"".join(_LENGTH.pack(len(part)) for part in parts)
        for piece in (head, *parts):
            view = memoryview(piece).cast("B")
            while view and not self.ended:
                view = view[self._written(view) :]

    def next(self) -> Item | None:
        """Give the next item that is here.

        Raises:
            ProtocolError: what came is no item.
        """
        if not self._items and not self.ended:
            self._fill()
        return self._items.popleft() if self._items else None

    def wait(self, seconds: float, also: Sequence[int] = ()) -> None:
        """Wait until something came here, or at another descriptor."""
        if not self._items and not self.ended:
            poll = select.poll()
            for descriptor in (self.fileno(), *also):
                poll.register(descriptor, select.POLLIN)
            poll.poll(seconds * 1000)

    def close(self) -> None:
        """Close it."""
        self.ended = True
        self._socket.close()

    def _written(self, view: memoryview) -> int:
        try:
            return self._socket.send(view)
        except BlockingIOError:
            poll = select.poll()
            poll.register(self.fileno(), select.POLLIN | select.POLLOUT)
            if any(event & select.POLLIN for _, event in poll.poll()):
                self._fill()
        except ConnectionError:
            self.ended = True
        return 0

    def _fill(self) -> None:
        try:
            found = self._socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        except ConnectionError:
            found = b""
        self.ended = not found
        self._read += found
        while (item := self._parsed()) is not None:
            self._items.append(item)

    def _parsed(self) -> Item | None:
        if len(self._read) < _HEAD.size:
            return None
        kind, count = _HEAD.unpack_from(self._read)
        start = _HEAD.size + count * _LENGTH.size
        if count > MOST_PARTS:
            raise ProtocolError(f"an item of {count} parts at the gate's socket; at most {MOST_PARTS} are")
        if len(self._read) < start:
            return None
        lengths = [_LENGTH.unpack_from(self._read, _HEAD.size + n * _LENGTH.size)[0] for n in range(count)]
        if sum(lengths) > self._most:
            raise ProtocolError(f"an item of {sum(lengths)} bytes at the gate's socket; at most {self._most}")
        if len(self._read) < start + sum(lengths):
            return None
        parts = []
        for length in lengths:
            parts.append(bytes(memoryview(self._read)[start : start + length]))
            start += length
        del self._read[:start]
        return kind, parts
