"""Ends of connections are told rightly though descriptors are given anew and word of them comes late."""

import os
import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest

from coordinator.protocol import connections
from coordinator.protocol.connections import Connections


def route(number: int) -> bytes:
    """Write a route as libzmq does."""
    return b"\0" + (number % (1 << 32)).to_bytes(4, "big")


@pytest.fixture
def number() -> Iterator[int]:
    """Give a descriptor that every connection of a test gets, one after the other."""
    found = os.open(os.devnull, os.O_RDONLY)
    yield found
    with suppress(OSError):
        os.close(found)


def connect(number: int) -> socket.socket:
    """Put a new connection behind a descriptor; give its other end."""
    near, far = socket.socketpair()
    os.dup2(near.fileno(), number)
    near.close()
    return far


def test_an_end_is_told_once(number: int) -> None:
    known, far = Connections(), connect(number)
    known.heard(number, route(1), "east")
    assert known.sites == {number: "east"}
    far.close()
    known.ended(number)
    assert known.settle()
    assert known.gone() == [route(1)]
    assert not known.settle()
    assert not len(known)


def test_the_end_of_one_before_is_not_another_s(monkeypatch, number: int) -> None:
    """Who was refused had the number before, and word of that comes when the next has spoken already."""
    known, far = Connections(), connect(number)
    known.heard(number, route(1), "east")
    known.ended(number)
    assert not known.settle()
    assert len(known) == 1
    monkeypatch.setattr(connections, "DOUBT_SECONDS", 0.0)
    known.ended(number)
    assert not known.settle()
    far.close()
    assert not known.settle()  # no word of this one's end yet
    known.ended(number)
    assert known.settle()
    assert known.gone() == [route(1)]


def test_an_end_told_before_the_connection_is_closed_is_believed_then(number: int) -> None:
    known, far = Connections(), connect(number)
    known.heard(number, route(1), "east")
    known.ended(number)
    assert not known.settle()
    os.close(number)  # by this side, as after a heartbeat that failed
    assert known.settle()
    assert known.gone() == [route(1)]
    far.close()


@pytest.mark.parametrize("first", [1, (1 << 32) - 1])
def test_the_next_with_the_same_number_ends_the_one_before(number: int, first: int) -> None:
    known, ends = Connections(), [connect(number)]
    known.heard(number, route(first), "east")
    ends.append(connect(number))
    known.heard(number, route(first + 1), "west")
    assert known.gone() == [route(first)]
    known.heard(number, route(first), "east")  # its last message, read late
    assert known.gone() == [route(first)]
    assert known.sites == {number: "west"}
    known.ended(number)  # the first
    assert not known.settle()
    ends[1].close()
    known.ended(number)
    assert known.settle()
    assert known.gone() == [route(first + 1)]
    ends[0].close()


def test_what_comes_of_a_connection_that_is_closed_ends_it(number: int) -> None:
    known = Connections()
    known.heard(number, route(1), "east")  # a file has its number by now
    assert known.gone() == [route(1)]
    assert not len(known)
    os.close(number)
    known.heard(number, route(2), "east")
    assert known.gone() == [route(2)]


def test_only_the_connection_itself_is_shut(number: int) -> None:
    known, first = Connections(), connect(number)
    known.heard(number, route(1), "east")
    second = connect(number)
    known.shut(["east"])
    second.setblocking(False)
    with pytest.raises(BlockingIOError):
        second.recv(1)
    known.heard(number, route(2), "west")
    known.shut(["west"])
    assert second.recv(1) == b""
    first.close()
    second.close()
