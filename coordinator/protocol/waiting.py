"""How a socket's messages are waited for, and what else happens meanwhile: a connection's end, a wake."""

import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Generic, Protocol, TypeVar

import zmq
from zmq.utils.monitor import parse_monitor_message

Got = TypeVar("Got")
QUICK_MILLISECONDS: Final = 5  # how long nothing but messages is waited for
GLANCE_SECONDS: Final = 0.1  # between two looks around while messages keep coming
MOST_AHEAD: Final = 10_000  # messages that are read before the end of a connection is believed


class Wake(Protocol):
    """Something with a descriptor that turns readable when waiting must end."""

    def fileno(self) -> int:
        """Give the descriptor."""

    def check(self) -> None:
        """Raise if waiting must end."""


class Waiting(Generic[Got]):
    """Waits for a socket's messages: at first for them alone, then for whatever else may happen, too.

    In a split step the answer is there in a millisecond or two, and to poll all for it would cost every step.
    """

    def __init__(
        self,
        sockets: tuple[Any, Any],
        wake: Wake | None,
        look_around: Callable[[], bool],
        take: Callable[[list[zmq.Frame]], Got | None],
    ) -> None:
        """Read nothing yet.

        Args:
            sockets: a socket and its monitor.
            wake: ends waiting.
            look_around: sees to all but messages; says whether waiting must end.
            take: makes of a message's frames what `next` gives.
        """
        self._socket, self._wake, self._look_around, self._take = sockets[0], wake, look_around, take
        self._due = 0.0
        self.ahead: deque[Got | None] = deque()
        self._socket.set(zmq.RCVTIMEO, QUICK_MILLISECONDS)
        self._poller = zmq.Poller()
        for item in (*sockets, *([wake.fileno()] if wake else [])):
            self._poller.register(item, zmq.POLLIN)

    def next(self, seconds: float) -> Got | None:
        """Give the next message, or None after the time or where waiting must end and none has come."""
        end = time.monotonic() + seconds
        while True:
            got = self.ahead.popleft() if self.ahead else self._read()
            if self._wake:
                self._wake.check()
            now = time.monotonic()
            if got is None or now > self._due:
                self._due = now + GLANCE_SECONDS
                if self._look_around():
                    return self.ahead.popleft() if got is None and self.ahead else got
            if self.ahead and got is None:
                continue
            if got is not None or now >= end:
                return got
            self._poller.poll(int((end - now) * 1000) + 1)

    def read_ahead(self) -> None:
        """Read all that has come: a connection's last messages are there before word of its end."""
        with suppress(zmq.Again):
            for _ in range(MOST_AHEAD):
                self.ahead.append(self._take(self._socket.recv_multipart(zmq.NOBLOCK, copy=False)))

    def _read(self) -> Got | None:
        try:
            return self._take(self._socket.recv_multipart(copy=False))
        except zmq.Again:
            return None


def events_of(monitor: Any, waiting: Waiting[Any]) -> list[dict[str, Any]]:
    """Give what has happened to connections, once the messages that came before it are read."""
    events: list[Any] = []
    while monitor.poll(0):
        events.append(parse_monitor_message(monitor.recv_multipart()))
    if events:
        waiting.read_ahead()
    return events
