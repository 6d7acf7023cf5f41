"""A site's encrypted socket, which connects out to the coordinator whose key it pins."""

import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import zmq

from coordinator.protocol.assembly import refusal_in
from coordinator.protocol.codec import Frames
from coordinator.protocol.credit import Pace
from coordinator.protocol.line import WAIT_SECONDS
from coordinator.protocol.sockets import LINGER_SECONDS, close_socket, open_socket
from coordinator.protocol.waiting import Waiting, Wake, events_of

RETRY_SECONDS: Final = 10
RECONNECT_SECONDS: Final = 1
DENIED: Final = zmq.EVENT_HANDSHAKE_FAILED_AUTH | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
# without a detail: another key was pinned than the coordinator's, or the connection was lost meanwhile
REFUSED: Final = DENIED | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL


class Dealer:
    """A site's end."""

    def __init__(
        self, endpoint: str, server: bytes, secret: bytes, public: bytes, wake: Wake | None = None
    ) -> None:
        """Connect to the coordinator whose public key is pinned.

        Args:
            endpoint: where the coordinator listens.
            server: the coordinator's public CURVE key, 32 bytes.
            secret: the site's CURVE key, 32 bytes; ``public`` belongs to it.
            wake: ends waiting, such as the lifeline.
        """
        self._endpoint, self._keys, self._wake = endpoint, (server, secret, public), wake
        self._context = zmq.Context()
        self.refusals = 0
        self.pointless: Callable[[], bool] = lambda: False  # says that what is being sent serves nobody more
        self._connect()

    def receive(self, seconds: float) -> Frames | None:
        """Give the next message's frames, or None after the time."""
        return self._early.popleft() if self._early else self._waiting.next(seconds)

    def heard(self, seconds: float, also: int) -> bool:
        """Wait until something is to be received here, has happened, or came at another descriptor.

        False where nothing did but that.
        """
        if self._early or self._waiting.ahead or self._is_over():
            return True  # that it is over may have been read while credit was waited for
        poller = zmq.Poller()
        for item in (self._socket, self._monitor, also, *([self._wake.fileno()] if self._wake else [])):
            poller.register(item, zmq.POLLIN)
        return bool({each for each, _ in poller.poll(int(seconds * 1000))} - {also})

    def send(self, frames: Frames) -> None:
        """Queue frames once there is credit for them, and libzmq sends them.

        They are dropped where the socket or its message was refused meanwhile: a refused socket has nowhere
        to queue and would block for ever, and who is refused gets no credit; who tries again says all again.
        """
        while not self._pace.may(frames):
            if self._is_over() or self.pointless() or any(map(refusal_in, self._early)):
                return
            if (came := self._waiting.next(WAIT_SECONDS)) is not None:
                self._early.append(came)
        with suppress(zmq.Again):
            self._socket.send_multipart(frames, zmq.NOBLOCK, copy=False)

    def retry(self) -> bool:
        """Try a new socket if this one was refused 10 s ago or lost its connection; say whether it did.

        libzmq would never retry after a refusal, and after a loss it would not say Hello again.
        """
        if self._refused_at:
            due = time.monotonic() > self._refused_at + RETRY_SECONDS
        else:
            due = self.connections_lost > 0 and time.monotonic() > self._made_at + RECONNECT_SECONDS
        if due:
            self.reconnect()
        return due

    def reconnect(self) -> None:
        """Drop what was not sent, and connect anew."""
        close_socket(self._socket, self._monitor, 0)
        self._connect()

    def close(self) -> None:
        """Send what is on its way, for a few seconds at most, and close."""
        close_socket(self._socket, self._monitor, LINGER_SECONDS)
        self._context.term()

    def _connect(self) -> None:
        server, secret, public = self._keys
        self._refused_at, self.connections_lost, self._made_at = 0.0, 0, time.monotonic()
        self._socket = open_socket(self._context, zmq.DEALER)
        self._socket.set(zmq.CURVE_SERVERKEY, server)
        self._socket.set(zmq.CURVE_SECRETKEY, secret)
        self._socket.set(zmq.CURVE_PUBLICKEY, public)
        self._monitor = self._socket.get_monitor_socket(zmq.EVENT_DISCONNECTED | REFUSED)
        self._waiting = Waiting((self._socket, self._monitor), self._wake, self._look_around, self._taken)
        self._pace, self._lent = Pace(), False  # said since it was last looked
        self._early = deque[Frames]()  # what came while credit was waited for
        self._socket.connect(self._endpoint)

    def _is_over(self) -> bool:
        return self._refused_at > 0 or self.connections_lost > 0

    def _taken(self, frames: list[zmq.Frame]) -> Frames | None:
        found: Frames = [frame.buffer for frame in frames]
        if not self._pace.hears(found):
            return found
        self._lent = True
        return None

    def _look_around(self) -> bool:
        events = events_of(self._monitor, self._waiting)
        for event in events:
            if event["event"] & DENIED:
                self._refused_at = self._refused_at or time.monotonic()
            else:
                self.connections_lost += 1
            self.refusals += event["event"] != zmq.EVENT_DISCONNECTED
        lent, self._lent = self._lent, False
        return bool(events) or self.connections_lost > 0 or lent
