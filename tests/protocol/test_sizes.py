"""What crosses the wire, as the kernel counts it on each connection, is what Suture says of it."""

import socket
import struct
from collections import Counter

import numpy as np
import pytest

from coordinator.protocol import sockets
from coordinator.protocol.messages import Kept, Sealed, Welcome
from coordinator.protocol.sizes import Counts, Size, on_wire, together
from tests.protocol.meeting import meeting, wait_for

PLACE = (0, 0, 0, 0)
# where struct tcp_info has these (linux/tcp.h): 64 bits each
RECEIVED, SENT = 128, 200


def kernel(descriptor):
    """Read the bytes that a connection has received and sent, without what was sent again."""
    with socket.socket(fileno=socket.dup(descriptor)) as connection:
        found = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    if len(found) < SENT + 16:
        pytest.skip("this kernel's TCP_INFO does not tell what was sent")
    (received,), (sent, again) = (
        struct.unpack_from("Q", found, RECEIVED),
        struct.unpack_from("QQ", found, SENT),
    )
    return Counter(up=received, down=sent - again)


def wire(line):
    """Add up a line's bytes on the wire by direction."""
    total = Counter()
    for name, size in line.counts.wire.items():
        total[name.partition(".")[0]] += size
    return total


def test_the_kernel_counts_what_the_closed_form_says(monkeypatch):
    """Handshakes come before, and no heartbeat comes between."""
    monkeypatch.setattr(sockets, "HEARTBEAT_SECONDS", 3600)
    with meeting("tcp") as parties:
        channel, sites = parties.entered()
        names = parties.router._connections.sites  # descriptor to site
        assert set(names.values()) == set(sites)
        before = {at: kernel(at) - wire(channel.lines[name]) for at, name in names.items()}
        channel.welcome((3, 4))
        for name, site in sites.items():
            site.receive(Welcome)
            for length in (1, 221, 222, 223, 224, 1000, 700_000):  # 222 is the longest of the short ones
                box = np.zeros(length, np.uint8)
                site.send(Sealed(PLACE, name, name, box))
                channel.receive(name, Sealed, PLACE)
                channel.send(name, Sealed(PLACE, name, name, box))
                site.receive(Sealed, PLACE)
            channel.send(name, Kept(1))
            site.await_kept(1)
        for at, name in names.items():
            line = channel.lines[name]
            assert wire(line) == wire(sites[name].line)
            assert wire(line)["up"] > sum(line.bytes.values()) / 2 > 700_000
            moved = wait_for(lambda at=at, line=line: +(kernel(at) - before[at]) == wire(line))
            assert moved, (name, kernel(at) - before[at], wire(line))


@pytest.mark.parametrize(("length", "more"), [(0, 35), (222, 35), (223, 42), (262_144, 42)])
def test_a_frame_takes_35_bytes_more_or_42_if_it_is_long(length, more):
    assert on_wire(length) == length + more


def test_a_message_s_size_has_three_parts():
    size = Size().plus([b"h" * 50, b"a" * 300]).plus([b"c" * 5, b"a" * 20])
    assert size == (320, 375, 375 + 35 + 42 + 35 + 35)
    counts = Counts()
    counts.add("up.training.weights", size)
    both = together([counts, counts])
    assert both.state() == {
        "payload": {"up.training.weights": 640},
        "bytes": {"up.training.weights": 750},
        "wire": {"up.training.weights": 2 * size.wire},
    }
