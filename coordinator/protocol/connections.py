"""Whose each connection is, and which have ended, told apart though descriptors are given anew.

libzmq names a connection by its descriptor: where a message came from, and what has ended. Both are read some
time after they happened, when another connection may have got the number; or before it is closed.
"""

import os
import select
import socket
import stat
import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

DOUBT_SECONDS: Final = 2.0  # libzmq closes a connection right after it tells of its end


@dataclass(frozen=True)
class _Known:
    route: bytes
    site: str
    inode: int  # of the socket: unlike its descriptor not given anew


class Connections:
    """The connections over which anything was said."""

    def __init__(self) -> None:
        """Know none."""
        self._known: dict[int, _Known] = {}
        self._doubtful: dict[int, float] = {}  # whose end, or one before, was told; until when to look again
        self._gone: list[bytes] = []

    def __len__(self) -> int:
        """Count those that have not ended."""
        return len(self._known)

    @property
    def sites(self) -> dict[int, str]:
        """Name whose they are, by descriptor; without those that were shut."""
        return {descriptor: known.site for descriptor, known in self._known.items() if known.site}

    def heard(self, descriptor: int, route: bytes, site: str) -> None:
        """Note that a message of a site came over a connection, which may have ended since."""
        known = self._known.get(descriptor)
        if known and known.route == route and known.site == site:
            return
        if known and _before(route, known.route):
            self._gone.append(route)
            return
        if known and known.route != route:
            self._gone.append(known.route)
        self._known.pop(descriptor, None)
        if inode := _inode(descriptor):
            self._known[descriptor] = _Known(route, site, inode)
        else:
            self._gone.append(route)

    def ended(self, descriptor: int) -> None:
        """Note that a connection with this descriptor ended: the one that is known, or one before."""
        if descriptor in self._known:
            self._doubtful[descriptor] = time.monotonic() + DOUBT_SECONDS

    def settle(self) -> bool:
        """Look which of those in doubt are closed; say whether there are any ends to be told."""
        for descriptor, until in list(self._doubtful.items()):
            known = self._known.get(descriptor)
            if known and not _is_open(descriptor, known.inode):
                del self._known[descriptor]
                self._gone.append(known.route)
            elif known and time.monotonic() < until:
                continue
            del self._doubtful[descriptor]
        return bool(self._gone)

    def gone(self) -> list[bytes]:
        """Give the routes of those that ended since the last call."""
        gone, self._gone = self._gone, []
        return gone

    def shut(self, sites: Collection[str]) -> None:
        """Shut exactly these sites' connections; their ends will be told like any other."""
        for descriptor, known in list(self._known.items()):
            if known.site in sites:
                self._known[descriptor] = replace(known, site="")
                if _inode(descriptor) == known.inode:
                    with suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as connection:
                        connection.shutdown(socket.SHUT_RDWR)


def _inode(descriptor: int) -> int:
    """Give the number of the socket behind a descriptor; 0: there is none."""
    try:
        found = os.fstat(descriptor)
    except OSError:
        return 0
    return found.st_ino if stat.S_ISSOCK(found.st_mode) else 0


def _is_open(descriptor: int, inode: int) -> bool:
    if _inode(descriptor) != inode:
        return False
    poll = select.poll()
    poll.register(descriptor, select.POLLRDHUP)
    return not poll.poll(0)


def _before(route: bytes, other: bytes) -> bool:
    """Say whether libzmq gave a route before another: a zero byte and a count of 32 bits, which wraps."""
    if not len(route) == len(other) == 5:
        return False
    ahead = int.from_bytes(route[1:], "big") - int.from_bytes(other[1:], "big")
    return ahead % (1 << 32) >= 1 << 31
