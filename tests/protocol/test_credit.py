"""Credit for long messages, over real sockets: what may lie unread, who is let, what ends the waiting."""

import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import msgspec
import numpy as np
import pytest
from protocol.meeting import LIMIT, SPEC, hello, meeting, wait_for
from protocol.test_channel import cut_meeting, validated

from coordinator.errors import ProtocolError
from coordinator.protocol import credit
from coordinator.protocol.callers import Callers
from coordinator.protocol.codec import CHUNK_BYTES
from coordinator.protocol.credit import STEP, WINDOW, Credit, Pace
from coordinator.protocol.dealer import Dealer
from coordinator.protocol.line import Line
from coordinator.protocol.messages import Activations, Refused, Scores, Validated, Weights
from sites.far_gate import LARGEST_ITEM
from sites.gatekeeping import let_through
from sites.pipe import FRAMES, Pipe
from tests.chaos.proxy import Proxy

LONG = 3 * WINDOW  # chunks
PLACE = (0, 0, 0, -1)


def weights(chunks=LONG, first=0.0):
    tensor = np.arange(chunks * CHUNK_BYTES // 4, dtype=np.float32)
    tensor[0] = first
    return Weights(PLACE, (tensor,), 1)


def credit_of(chunks):
    """Give all credit for a message after the Hello, whenever its chunks are read."""
    steps = range(WINDOW + STEP, chunks + STEP, STEP)
    return b"".join(msgspec.msgpack.encode(Credit(2, until)) for until in steps)


def pumped(channel, times=2 * WINDOW):
    """Let what has come arrive, as while another site is waited for."""
    for _ in range(times):
        channel._pump(0.002)


def whole(channel, *sites):
    return [site for site in sites if channel.lines[site].waiting()] == list(sites)


def here(channel, site):
    return channel.lines[site]._assembly.chunks[0]


@pytest.mark.parametrize("transport", ["tcp", "ipc"])
def test_of_a_long_message_no_more_than_the_window_comes_unasked(transport):
    with ThreadPoolExecutor() as pool, meeting(transport) as parties:
        channel, sites = parties.entered()
        sending = pool.submit(sites["east"].send, weights(first=7.0))
        wait_for(lambda: channel._pump(0.05) or here(channel, "east") == WINDOW)
        pumped(channel)
        assert here(channel, "east") == WINDOW
        assert not sending.done()
        heard = channel.receive("east", Weights, PLACE)
        sending.result(30)
        assert np.array_equal(heard.tensors[0], weights(first=7.0).tensors[0])
        assert len(credit_of(LONG)) == channel.lines["east"].counts.bytes["down.control.credit"]
        assert sites["east"].waited > 0


def test_a_message_within_the_window_needs_no_credit():
    with meeting() as parties:
        channel, sites = parties.entered()
        sites["east"].send(weights(WINDOW))  # in this very thread
        assert len(channel.receive("east", Weights, PLACE).tensors[0]) == WINDOW * CHUNK_BYTES // 4
        assert "down.control.credit" not in channel.lines["east"].counts.bytes


def test_who_is_waited_for_has_room_and_the_others_wait_for_theirs(monkeypatch):
    monkeypatch.setattr(credit, "ROOM_BYTES", LONG * CHUNK_BYTES)
    with ThreadPoolExecutor() as pool, meeting(sites=("east", "north", "west")) as parties:
        channel, sites = parties.entered()
        sending = [
            pool.submit(sites[name].send, weights(first=n)) for n, name in enumerate(("west", "north"))
        ]
        wait_for(lambda: channel._pump(0.05) or here(channel, "west") == here(channel, "north") == WINDOW)
        later = pool.submit(sites["east"].send, validated())
        channel.receive("east", Validated)  # meanwhile one of the two may come, and not both
        later.result(30)
        for _ in range(200):
            channel._room.give("east")
            channel._pump(0.01)
        whole = [name for name in ("west", "north") if channel.lines[name].waiting()]
        assert len(whole) == 1
        assert sorted(here(channel, name) for name in ("west", "north")) == [0, WINDOW]
        heard = {name: channel.receive(name, Weights, PLACE).tensors[0][0] for name in ("north", "west")}
        assert heard == {"west": 0.0, "north": 1.0}
        for each in sending:
            each.result(30)


def test_two_that_fit_come_at_once(monkeypatch):
    monkeypatch.setattr(credit, "ROOM_BYTES", 2 * LONG * CHUNK_BYTES)
    with ThreadPoolExecutor() as pool, meeting(sites=("east", "north", "west")) as parties:
        channel, sites = parties.entered()
        sending = [pool.submit(sites[name].send, weights()) for name in ("west", "north")]
        wait_for(lambda: channel._room.give("east") or channel._pump(0.05) or whole(channel, "west", "north"))
        assert [each.result(30) for each in sending] == [None, None]


@pytest.mark.parametrize("harm", ["cut", "half_close"])
def test_a_long_message_survives_a_cut_connection(harm):
    with ThreadPoolExecutor() as pool, meeting(sites=("east",)) as parties:
        proxy, channel, site, _ = cut_meeting(parties)
        sending = pool.submit(lambda: (site.send(weights()), site.receive(Weights, PLACE)))
        wait_for(lambda: channel._pump(0.05) or here(channel, "east") >= WINDOW)
        channel._room.give("east")
        getattr(proxy, harm)()
        heard = channel.receive("east", Weights, PLACE)
        channel.send("east", Weights(PLACE, (), 1))
        sending.result(30)
        proxy.close()
    assert np.array_equal(heard.tensors[0], weights().tensors[0])


def test_who_is_refused_in_the_middle_of_a_message_does_not_wait_for_credit():
    with ThreadPoolExecutor() as pool, meeting() as parties:
        channel, sites = parties.entered()
        sending = pool.submit(sites["east"].send, weights())
        wait_for(lambda: channel._pump(0.05) or here(channel, "east") == WINDOW)
        channel.turn_away("east", "no more of this")
        sending.result(30)
        with pytest.raises(ProtocolError, match="no more of this"):
            sites["east"].receive(Weights)


@pytest.mark.parametrize("chunks", [WINDOW + 1, LONG])
def test_who_goes_on_without_credit_breaks_the_protocol(monkeypatch, chunks):
    monkeypatch.setattr(Pace, "may", lambda self, frames: True)
    with meeting() as parties:
        channel, sites = parties.entered()
        sites["east"].send(weights(chunks))
        with pytest.raises(ProtocolError, match="'east' sent more of a message than it had credit for"):
            pumped(channel)


def test_who_serves_predictions_lends_too():
    with ThreadPoolExecutor() as pool, meeting(sites=("east",)) as parties:
        callers, site = Callers(parties.router, {"east": SPEC}, limit=LIMIT, note=print), parties.site("east")

        def asked():
            site.enter(hello("east"), print)
            site.send(Activations(PLACE, weights().tensors[0][None], None))
            return site.receive(Scores)

        answer = pool.submit(asked)
        wait_for(lambda: callers.serve(0.05, lambda name, said: scores(said)) or answer.done())
        assert answer.result().tensor[0, 0] == weights().tensors[0][-1]


def scores(said):
    return Scores(said.position, said.tensor[:, -1:].copy())


class Through:
    """What a gate outside does with frames, where it lets all pass."""

    over = False

    def join(self, out, back):
        self.up, self.down = out, back


@contextmanager
def behind_a_gate(endpoint, parties, pool):
    """Open a site whose gate is outside; give what says a message, both ends between, and the gate's work."""
    key = parties.keys["east"]
    dealer = Dealer(endpoint, *(bytes(each) for each in (parties.server.public_key, key, key.public_key)))
    parties.dealers.append(dealer)
    ours, gates = socket.socketpair()
    with ours, gates:
        working = pool.submit(let_through, Pipe(gates, LARGEST_ITEM), dealer, Through())
        line, pipe = Line("coordinator", sends="up", limit=LIMIT, ahead=LIMIT), Pipe(ours, LARGEST_ITEM)

        def say(message):
            for frames in line.frames(message):
                pipe.send(FRAMES, *frames)

        say(hello("east"))
        yield say, (ours, gates), working


@pytest.mark.parametrize("ended", ["the connection", "what trains"])
def test_a_gate_outside_that_waits_for_credit_sees_either_side_s_end(ended):
    with ThreadPoolExecutor() as pool, meeting(sites=("east",)) as parties:
        channel, proxy = parties.coordinator(), Proxy()
        proxy.target = ("127.0.0.1", int(parties.router.endpoint.rpartition(":")[2]))
        with behind_a_gate(proxy.endpoint, parties, pool) as (say, (ours, gates), working):
            channel.admit()
            saying = pool.submit(say, weights())
            wait_for(lambda: channel._pump(0.05) or here(channel, "east") == WINDOW)
            proxy.cut() if ended == "the connection" else ours.shutdown(socket.SHUT_RDWR)
            assert working.result(30) is None  # it waits no more
            assert here(channel, "east") <= WINDOW
            gates.close()
            saying.result(30)
        proxy.close()


def test_credit_is_for_one_message_alone():
    pace, line = Pace(), Line("coordinator", sends="up", limit=LIMIT, ahead=LIMIT)
    first, second = line.frames(weights()), line.frames(weights())
    assert pace.hears([msgspec.msgpack.encode(Credit(1, WINDOW + 2))])
    assert next(n for n, frames in enumerate(first) if not pace.may(frames)) == WINDOW + 2
    assert next(n for n, frames in enumerate(second) if not pace.may(frames)) == WINDOW


@pytest.mark.parametrize(
    "frames",
    [
        [b""],
        [b"\x93"],
        [msgspec.msgpack.encode(["Credit", -1.5, "x"])],
        [msgspec.msgpack.encode(["Credit", 1, 2, 3])],
        [msgspec.msgpack.encode(Credit(1, 2)), b"x"],
    ],
)
def test_what_is_no_credit_is_none(frames):
    assert not Pace().hears(frames)


def test_an_empty_frame_waits_for_nothing():
    assert Pace().may([b""])
    assert Pace().may([memoryview(b"")])


def test_a_refusal_that_came_before_is_still_heard():
    with meeting() as parties:
        channel, sites = parties.entered()
        sites["east"]._link._early.append(
            [bytes(f) for f in channel.lines["east"].frames(Refused("early"))[0]]
        )
        with pytest.raises(ProtocolError, match="early"):
            sites["east"].receive(Weights)
