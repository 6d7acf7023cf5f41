"""A training process' side of a gate outside it: the one socket it has, and what it asks of the gate."""

import json
import socket
import time
from collections import deque
from dataclasses import asdict
from pathlib import Path
from typing import Final, Protocol

from coordinator.errors import PeerLost
from coordinator.protocol.codec import Frames
from coordinator.protocol.dealer import RECONNECT_SECONDS, RETRY_SECONDS
from coordinator.protocol.messages import Committed
from coordinator.protocol.seals import Purpose
from coordinator.protocol.waiting import Wake
from sites.pipe import ANSWER, FRAMES, REFUSED, Item, Pipe

# what can be asked; each is answered in turn
COMMIT: Final = b"C"  # the ledger's head at a commit, signed
WENT_ON: Final = b"W"
SEAL: Final = b"S"
OPEN: Final = b"O"
LARGEST_ITEM: Final = 1 << 36  # bytes; what leaves is counted, not this


class Witness(Protocol):
    """Keeps the ledger: a gate in this process, or outside it."""

    def committed(self, number: int, state: str) -> Committed: ...  # noqa: D102
    def went_on(self, commit: int) -> None: ...  # noqa: D102


class FarGate:
    """A link (`coordinator.protocol.line.SiteLink`), a sealer and a witness, all in another process."""

    def __init__(self, path: Path, wake: Wake | None = None) -> None:
        """Connect to the gate's socket; one that is not there yet is tried again.

        Args:
            path: the socket.
            wake: ends waiting, such as the lifeline.
        """
        self._path, self._wake = path, wake
        self.refusals = 0
        self._connect()

    def receive(self, seconds: float) -> Frames | None:
        """Give the next message's frames, or None after the time."""
        found = self._next(seconds)
        return list(found[1]) if found else None

    def send(self, frames: Frames) -> None:
        """Hand over a message's frames."""
        if self._pipe:
            self._pipe.send(FRAMES, *frames)

    def retry(self) -> bool:
        """Connect anew if no gate was there, or the coordinator refused it 10 s ago; say whether it did."""
        patience = RETRY_SECONDS if self._refused else RECONNECT_SECONDS
        due = self.connections_lost > 0 and time.monotonic() > self._made_at + patience
        if due:
            self.reconnect()
        return due

    def reconnect(self) -> None:
        """Drop what was not sent, and connect anew."""
        self.close()
        self._connect()

    def close(self) -> None:
        """Leave the gate, which sends on what it was given."""
        if self._pipe:
            self._pipe.close()

    def committed(self, number: int, state: str) -> Committed:
        """Let the ledger be brought onto the disk; give the word of a commit with its head, signed."""
        head, signature = self._ask(COMMIT, str(number).encode())
        return Committed(number, state, head.decode(), signature.decode())

    def went_on(self, commit: int) -> None:
        """Let the ledger say that the run goes on from a commit."""
        self._ask(WENT_ON, str(commit).encode())

    def seal(self, purpose: Purpose, content: bytes) -> bytes:
        """Have content sealed for ``purpose.taker``."""
        return self._ask(SEAL, json.dumps(asdict(purpose)).encode(), content)[0]

    def open(self, purpose: Purpose, sealed: bytes) -> bytes:
        """Have opened what ``purpose.giver`` sealed."""
        return self._ask(OPEN, json.dumps(asdict(purpose)).encode(), sealed)[0]

    def _connect(self) -> None:
        self.connections_lost, self._refused, self._made_at = 0, False, time.monotonic()
        self._frames: deque[Item] = deque()
        self._pipe: Pipe | None = None
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(str(self._path))
        except OSError:  # not there yet, or no more
            connection.close()
            self.connections_lost = 1
            return
        self._pipe = Pipe(connection, LARGEST_ITEM)

    def _ask(self, kind: bytes, *parts: bytes) -> list[bytes]:
        if self._pipe:
            self._pipe.send(kind, *parts)
        while self._pipe and not (self._pipe.ended and self.connections_lost):
            if item := self._item(1.0):
                if item[0] == ANSWER:
                    return item[1]
                self._frames.append(item)
        raise PeerLost("this site's gate ended; see its log, then run again")

    def _next(self, seconds: float) -> Item | None:
        return self._frames.popleft() if self._frames else self._item(seconds)

    def _item(self, seconds: float) -> Item | None:
        """Give what comes next but refusals, or None after the time; note where nothing more will come."""
        if not self._pipe or self.connections_lost:
            time.sleep(min(seconds, RECONNECT_SECONDS / 4))
            self._look()
            return None
        item = self._pipe.next()
        if item is None:
            self._pipe.wait(seconds, [self._wake.fileno()] if self._wake else [])
            item = self._pipe.next()
        self._look()
        if item is None or item[0] == REFUSED:
            self.refusals += item is not None
            self._refused |= item is not None
            self.connections_lost = int(item is None and self._pipe.ended)
            return None
        return item

    def _look(self) -> None:
        if self._wake:
            self._wake.check()
