"""Two hosts of this machine and a bad link between them: a relay of our own between two TUN devices.

Each host is a network namespace. The relay reads IP packets from one device and writes them to the other,
later, as fast as the link's rate allows, and some never.
"""

import fcntl
import heapq
import os
import random
import select
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
HOSTS = {"strl-a": "10.77.9.1", "strl-b": "10.77.9.2"}
HELD = 100  # packets that wait at a full link; more are lost, as in a router


@dataclass
class Link:
    """One direction: when its line is free again, and what is on its way."""

    sink: int
    free: float = 0.0
    passed: int = 0
    lost: int = 0
    waiting: list[tuple[float, int, bytes]] = field(default_factory=list)


class Relay:
    """Passes packets between two devices until it is closed."""

    def __init__(self, first: int, second: int, *, megabits: float, delay: float, loss: float) -> None:
        """Begin; `delay` is in seconds and one way, `loss` the share of packets."""
        self.links = {first: Link(second), second: Link(first)}
        self._rate, self._delay, self._loss = megabits * 1e6 / 8, delay, loss
        self._draw, self._open = random.Random(0), True
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Pass nothing on any more."""
        self._open = False
        self._thread.join(5)

    def _run(self) -> None:
        number = 0
        while self._open:
            due = min((link.waiting[0][0] for link in self.links.values() if link.waiting), default=None)
            rest = 0.2 if due is None else max(0.0, min(0.2, due - time.monotonic()))
            for source in select.select(list(self.links), [], [], rest)[0]:
                number += 1
                self._take(self.links[source], os.read(source, 65_536), number)
            for link in self.links.values():
                while link.waiting and link.waiting[0][0] <= time.monotonic():
                    os.write(link.sink, heapq.heappop(link.waiting)[2])

    def _take(self, link: Link, packet: bytes, number: int) -> None:
        queued = sum(1 for at, _, _ in link.waiting if at - self._delay > time.monotonic())
        if self._draw.random() < self._loss or queued >= HELD:
            link.lost += 1
            return
        link.passed += len(packet)
        link.free = max(link.free, time.monotonic()) + len(packet) / self._rate
        heapq.heappush(link.waiting, (link.free + self._delay, number, packet))


@contextmanager
def linked(*, megabits: float, delay: float, loss: float) -> Iterator[Relay]:
    """Have the hosts in `HOSTS` and this link between them."""
    _remove()
    devices = []
    try:
        for host, (name, address) in zip(HOSTS, _devices(), strict=True):
            devices.append(_device(name))
            _ip("netns", "add", host)
            _ip("link", "set", name, "netns", host)
            _ip("-n", host, "address", "add", f"{address}/24", "dev", name)
            for each in (name, "lo"):
                _ip("-n", host, "link", "set", each, "up")
        relay = Relay(*devices, megabits=megabits, delay=delay, loss=loss)
        yield relay
        relay.close()
    finally:
        for each in devices:
            os.close(each)
        _remove()


def enter(host: str) -> list[str]:
    """Begin a command line that runs on a host."""
    return ["nsenter", f"--net=/run/netns/{host}"]


def _devices() -> list[tuple[str, str]]:
    return [(f"strl{number}", address) for number, address in enumerate(HOSTS.values())]


def _device(name: str) -> int:
    handle = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(handle, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TUN | IFF_NO_PI))
    return handle


def _remove() -> None:
    for host in HOSTS:
        subprocess.run(["ip", "netns", "delete", host], capture_output=True)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
