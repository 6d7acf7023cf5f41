"""A coordinator's router and sites' dealers on real sockets, for tests."""

import shutil
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import zmq
from nacl.public import PrivateKey

from coordinator.protocol.channel import CoordinatorChannel
from coordinator.protocol.dealer import Dealer
from coordinator.protocol.messages import Hello
from coordinator.protocol.site_channel import SiteChannel
from coordinator.protocol.sockets import Router

LIMIT = 1 << 26
SPEC = "s"
SITES = ("east", "west")
TRANSPORTS = ("tcp", "ipc")
STILL_SECONDS = 0.3  # how long a test listens for what must not come


@dataclass
class Meeting:
    """A router, its sites' keys, and every dealer that was opened."""

    router: Router
    server: PrivateKey
    keys: dict[str, PrivateKey]
    admitted: dict[bytes, str]
    dealers: list[Dealer] = field(default_factory=list)

    def dealer(self, secret, server=None):
        """Open a site's socket with any key."""
        server = self.server.public_key if server is None else server
        link = Dealer(self.router.endpoint, bytes(server), bytes(secret), bytes(secret.public_key))
        self.dealers.append(link)
        return link

    def site(self, name, release=lambda message, size: None):
        """Open a site's channel with its own key."""
        return SiteChannel(self.dealer(self.keys[name]), limit=LIMIT, release=release)

    def coordinator(self):
        """Open the coordinator's channel."""
        return CoordinatorChannel(self.router, tuple(self.keys), spec=SPEC, limit=LIMIT)

    def entered(self):
        """Have every site say Hello; give both sides' channels, the Welcome not yet sent."""
        channel, sites = self.coordinator(), {name: self.site(name) for name in self.keys}
        for name, site in sites.items():
            site.send(hello(name))
        channel.admit()
        return channel, sites

    def heard(self):
        """Give the next message's site and frames, as the router proved and carried them."""
        got = wait_for(lambda: self.router.receive(0.2))
        return got[0], [bytes(frame) for frame in got[2]]

    def nothing_heard(self):
        """Say whether no message comes for a while."""
        return self.router.receive(STILL_SECONDS) is None


def absent(channel):
    """Name the sites of which no message has come yet."""
    return channel._presence.without(channel._presence.routes)


def hello(name):
    return Hello(name, SPEC, 0)


@contextmanager
def meeting(transport="tcp", sites=SITES):
    """Bind a router that admits the sites' keys; everything is closed in the end."""
    folder = Path(tempfile.mkdtemp(prefix="suture-"))  # short: a socket's path has at most 107 characters
    endpoint = "tcp://127.0.0.1:0" if transport == "tcp" else f"ipc://{folder}/c.ipc"
    server, keys = PrivateKey.generate(), {name: PrivateKey.generate() for name in sites}
    admitted = {bytes(key.public_key): name for name, key in keys.items()}
    router = Router(endpoint, bytes(server), lambda: admitted)
    found = Meeting(router, server, keys, admitted)
    try:
        yield found
    finally:
        for link in found.dealers:
            if not link._context.closed:
                link._context.destroy(linger=0)
        if not router._context.closed:
            router.close()
        shutil.rmtree(folder)


def wait_for(look, seconds=30):
    """Look until something is there; the bound is generous, since machines are slow at times."""
    give_up = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < give_up, "it never came"
    return found


def monitored(socket):
    """Count a foreign socket's refusals and admissions from its monitor."""
    return socket.get_monitor_socket(
        zmq.EVENT_HANDSHAKE_SUCCEEDED
        | zmq.EVENT_HANDSHAKE_FAILED_AUTH
        | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
        | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    )
