"""The encrypted sockets; with `waiting`, all that imports zmq.

Sites connect out (DEALER), the coordinator binds (ROUTER). CURVE always, an allow-list by key, and
the site's identity is the key that the handshake proved, never what the peer says.
"""

import os
import resource
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import zmq
from zmq.auth.thread import ThreadAuthenticator
from zmq.utils import z85

from coordinator.errors import ConfigError, PeerRemoved
from coordinator.protocol.codec import Frames, refusal_in
from coordinator.protocol.connections import Connections
from coordinator.protocol.credit import Pace
from coordinator.protocol.waiting import Waiting, Wake, events_of

ZAP_DOMAIN: Final = "suture"
HEARTBEAT_SECONDS: Final = 5
SILENCE_SECONDS: Final = 60
HANDSHAKE_SECONDS: Final = 5
RETRY_SECONDS: Final = 10
LINGER_SECONDS: Final = 5
LEAVE_SECONDS: Final = 10  # what sites may take to hang up once they were told to leave
RECONNECT_SECONDS: Final = 1
CREDIT_SECONDS: Final = 1  # between two looks at what else has happened, while credit is waited for
LOOK_SECONDS: Final = 1  # how often the list of admitted keys is looked at
DENIED: Final = zmq.EVENT_HANDSHAKE_FAILED_AUTH | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
# without a detail: another key was pinned than the coordinator's, or the connection was lost meanwhile
REFUSED: Final = DENIED | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL


class _AllowList:
    """Admits exactly the manifest's keys; asked by the authenticator at every handshake."""

    def __init__(self) -> None:
        self.keys: frozenset[bytes] = frozenset()

    def callback(self, domain: str, key: bytes) -> bool:
        return domain == ZAP_DOMAIN and z85.decode(key) in self.keys


class Router:
    """The coordinator's end."""

    def __init__(
        self, endpoint: str, secret: bytes, sites: Callable[[], Mapping[bytes, str]], wake: Wake | None = None
    ) -> None:
        """Bind, with the authenticator running before.

        Args:
            endpoint: ``tcp://host:port`` (port 0: any) or ``ipc://path`` (at most 107 characters).
            secret: the coordinator's CURVE key, 32 bytes.
            sites: gives public CURVE key (32 bytes) to site name; asked again while waiting.
            wake: ends waiting, such as the lifeline.
        """
        _raise_open_files()
        self._list, self._admitted = _AllowList(), sites
        self._sites: dict[str, str] = {}
        self._connections = Connections()
        self._look()
        self._context = zmq.Context()
        self._authenticator = ThreadAuthenticator(self._context)
        self._authenticator.start()
        self._authenticator.configure_curve_callback(ZAP_DOMAIN, self._list)
        self._socket = _socket(self._context, zmq.ROUTER)
        self._socket.set(zmq.CURVE_SERVER, 1)
        self._socket.set(zmq.CURVE_SECRETKEY, secret)
        self._socket.set(zmq.ZAP_DOMAIN, ZAP_DOMAIN.encode())
        self._socket.set(zmq.ZAP_ENFORCE_DOMAIN, 1)
        self._socket.set(zmq.ROUTER_MANDATORY, 1)
        self._monitor = self._socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        self.endpoint = _bind(self._socket, endpoint)
        self._waiting = Waiting((self._socket, self._monitor), wake, self._look_around, self._proved)

    def receive(self, seconds: float) -> tuple[str, bytes, Frames] | None:
        """Give the next message as (site, route, frames), or None after the time.

        The site is what the handshake proved. A message whose key is not on the list is dropped.

        Raises:
            PeerRemoved: a connected site is admitted no more.
        """
        return self._waiting.next(seconds)

    def gone(self) -> list[bytes]:
        """Give the routes of the connections that ended since the last call."""
        return self._connections.gone()

    def send(self, route: bytes, frames: Frames) -> bool:
        """Send without blocking; False where that connection is no more."""
        try:
            self._socket.send_multipart([route, *frames], zmq.NOBLOCK, copy=False)
        except zmq.ZMQError as error:
            if error.errno == zmq.EHOSTUNREACH:
                return False
            raise
        return True

    def close(self) -> None:
        """Wait until those who were told to leave have hung up, for a few seconds at most, and close.

        A socket that closes first loses what it sent last where the other side still sends: TCP resets.
        """
        end = time.monotonic() + LEAVE_SECONDS
        while self._connections and (rest := end - time.monotonic()) > 0:
            self._waiting.next(rest)
            self.gone()
        _close(self._socket, self._monitor, LINGER_SECONDS)
        _stop(self._authenticator)
        self._context.term()

    def _proved(self, got: "list[zmq.Frame]") -> tuple[str, bytes, Frames] | None:
        """Name the site of a message as it is read, and note over which connection it came."""
        route, *frames = got
        site = self._sites.get(str(frames[0].get("User-Id"))) if frames else None
        if site is None:
            return None
        self._connections.heard(frames[0].get(zmq.SRCFD), route.bytes, site)
        return site, route.bytes, [frame.buffer for frame in frames]

    def _look(self) -> None:
        """Take over who is admitted now; shut exactly the connections of who is not any more."""
        keys = self._admitted()
        self._looked, self._list.keys = time.monotonic(), frozenset(keys)
        self._sites = {z85.encode(key).decode(): name for key, name in keys.items()}
        if removed := set(self._connections.sites.values()) - set(keys.values()):
            self._connections.shut(removed)
            raise PeerRemoved(
                f"'{', '.join(sorted(removed))}' was removed from the manifest; its connection was shut"
            )

    def _look_around(self) -> bool:
        if time.monotonic() > self._looked + LOOK_SECONDS:
            self._look()
        for event in events_of(self._monitor, self._waiting):
            self._connections.ended(event["value"])
        return self._connections.settle()


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
            if (came := self._waiting.next(CREDIT_SECONDS)) is not None:
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
        _close(self._socket, self._monitor, 0)
        self._connect()

    def close(self) -> None:
        """Send what is on its way, for a few seconds at most, and close."""
        _close(self._socket, self._monitor, LINGER_SECONDS)
        self._context.term()

    def _connect(self) -> None:
        server, secret, public = self._keys
        self._refused_at, self.connections_lost, self._made_at = 0.0, 0, time.monotonic()
        self._socket = _socket(self._context, zmq.DEALER)
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


def _socket(context: "zmq.Context[zmq.Socket[bytes]]", kind: int) -> "zmq.Socket[bytes]":
    socket = context.socket(kind)
    socket.set(zmq.LINGER, 0)
    socket.set(zmq.SNDHWM, 0)
    socket.set(zmq.RCVHWM, 0)
    socket.set(zmq.HEARTBEAT_IVL, HEARTBEAT_SECONDS * 1000)
    socket.set(zmq.HEARTBEAT_TIMEOUT, SILENCE_SECONDS * 1000)
    socket.set(zmq.HEARTBEAT_TTL, SILENCE_SECONDS * 1000)
    socket.set(zmq.HANDSHAKE_IVL, HANDSHAKE_SECONDS * 1000)
    socket.set(zmq.MAXMSGSIZE, 4 * 1024 * 1024)
    return socket


def _close(socket: Any, monitor: Any, linger_seconds: int) -> None:
    socket.disable_monitor()
    monitor.close(linger=0)
    socket.close(linger=linger_seconds * 1000)


def _stop(authenticator: ThreadAuthenticator) -> None:
    if authenticator.pipe and not authenticator.is_alive():
        authenticator.pipe.close(linger=0)  # nobody reads it: saying stop would wait for ever
        authenticator.pipe = None  # type: ignore[assignment]
    authenticator.stop()


def _bind(socket: "zmq.Socket[bytes]", endpoint: str) -> str:
    if endpoint.startswith("ipc://"):
        path = Path(endpoint.removeprefix("ipc://"))
        if len(os.fsencode(path)) > 107:
            raise ConfigError(f"{path}: longer than the 107 characters a socket's path may have")
        if path.exists():  # a second bind would silently take the path from the first
            raise ConfigError(f"{path}: another coordinator's socket lies here; remove it if that has ended")
    try:
        socket.bind(endpoint)
    except zmq.ZMQError as error:
        raise ConfigError(
            f"{endpoint}: cannot listen here ({error.strerror}); choose another endpoint"
        ) from None
    return str(socket.getsockopt_string(zmq.LAST_ENDPOINT))


def _raise_open_files() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
