"""The coordinator's encrypted socket, and what a site's is made of (`dealer`).

Sites connect out (DEALER), the coordinator binds (ROUTER). CURVE always, an allow-list by key, and
the site's identity is the key that the handshake proved, never what the peer says.
"""

import os
import resource
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import zmq
from zmq.auth.thread import ThreadAuthenticator
from zmq.utils import z85

from coordinator.errors import ConfigError, PeerRemoved
from coordinator.protocol.codec import Frames
from coordinator.protocol.connections import Connections
from coordinator.protocol.waiting import Waiting, Wake, events_of

ZAP_DOMAIN: Final = "suture"
HEARTBEAT_SECONDS: Final = 5
SILENCE_SECONDS: Final = 60
HANDSHAKE_SECONDS: Final = 5
LINGER_SECONDS: Final = 5
LEAVE_SECONDS: Final = 10  # what sites may take to hang up once they were told to leave
LOOK_SECONDS: Final = 1  # how often the list of admitted keys is looked at


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
        self._socket = open_socket(self._context, zmq.ROUTER)
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
        close_socket(self._socket, self._monitor, LINGER_SECONDS)
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


def open_socket(context: "zmq.Context[zmq.Socket[bytes]]", kind: int) -> "zmq.Socket[bytes]":
    """Make a socket that no limit blocks, with heartbeats."""
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


def close_socket(socket: Any, monitor: Any, linger_seconds: int) -> None:
    """Close a socket and its monitor; what is on its way has so many seconds more."""
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
