"""Hosts with addresses of their own on one machine: network namespaces joined by a bridge."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Network:
    """Short names of hosts and their addresses; ``here`` is this machine's own address in that network."""

    bridge: str
    here: str
    hosts: Mapping[str, str]

    def space(self, name: str) -> str:
        """Name a host's namespace."""
        return f"{self.bridge}-{name}"

    def enter(self, name: str) -> list[str]:
        """Begin a command line that runs on a host."""
        return ["nsenter", f"--net=/run/netns/{self.space(name)}"]


def missing() -> str:
    """Say what namespaces need and this machine lacks, or nothing."""
    if os.geteuid() != 0:
        return "namespaces of the tests' own need root"
    lacking = [name for name in ("ip", "nsenter", "unshare") if not shutil.which(name)]
    return f"{', '.join(lacking)} missing (Debian: iproute2 util-linux)" if lacking else ""


@contextmanager
def joined(network: Network) -> Iterator[Network]:
    """Have the hosts, each with one link to the bridge."""
    remove(network)
    try:
        _make(network)
        yield network
    finally:
        remove(network)


def slow_down(network: Network, name: str, *, megabits: float) -> None:
    """Limit what a host sends."""
    shape = ["tbf", "rate", f"{megabits}mbit", "burst", "32kbit", "latency", "400ms"]
    _run(*network.enter(name), "tc", "qdisc", "add", "dev", "eth0", "root", *shape)


def remove(network: Network) -> None:
    """Take the hosts away, and what an earlier test was killed before it could."""
    for name in network.hosts:
        subprocess.run(["ip", "netns", "delete", network.space(name)], capture_output=True)
        subprocess.run(["ip", "link", "delete", f"{network.bridge}{name}"], capture_output=True)
    subprocess.run(["ip", "link", "delete", network.bridge], capture_output=True)


def _make(network: Network) -> None:
    _run("ip", "link", "add", network.bridge, "type", "bridge")
    _run("ip", "address", "add", f"{network.here}/24", "dev", network.bridge)
    _run("ip", "link", "set", network.bridge, "up")
    for name, address in network.hosts.items():
        space, link = network.space(name), f"{network.bridge}{name}"
        _run("ip", "netns", "add", space)
        _run("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", space)
        _run("ip", "link", "set", link, "master", network.bridge, "up")
        _run("ip", "-n", space, "address", "add", f"{address}/24", "dev", "eth0")
        for own in ("eth0", "lo"):
            _run("ip", "-n", space, "link", "set", own, "up")


def _run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)
