"""Conversations: who may say what next, in which order, what it weighs, and how they end."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from protocol.meeting import LIMIT, SITES, SPEC, absent, hello, meeting, wait_for
from protocol.messages_drawn import framed

from coordinator.errors import PeerLost, ProtocolError
from coordinator.protocol import sockets
from coordinator.protocol.channel import CoordinatorChannel
from coordinator.protocol.codec import CHUNK_BYTES, frozen
from coordinator.protocol.dealer import Dealer
from coordinator.protocol.inproc import Hub
from coordinator.protocol.line import Line, Unheard
from coordinator.protocol.messages import (
    Activations,
    Bye,
    Committed,
    CutGradient,
    Done,
    HeadGradient,
    Hello,
    Kept,
    Sealed,
    Validated,
    Verdict,
    Weights,
    Welcome,
)  # fmt: skip
from coordinator.protocol.site_channel import SiteChannel
from tests.chaos.proxy import Proxy

PLACE = (0, 1, 0, 3)


def validated(position=PLACE, loss=0.5):
    return Validated(position, 0.1, 10, loss, 20)


class Conversation:
    """A coordinator's channel over threads' queues, and the bare links of its sites."""

    def __init__(self, sites=SITES, limit=LIMIT):
        self.hub = Hub()
        self.links = {name: self.hub.spoke(name) for name in sites}
        self.channel = CoordinatorChannel(self.hub, sites, spec=SPEC, limit=limit)

    def say(self, site, message, sequence):
        for frames in framed(message, sequence):
            self.links[site].send(frames)

    def admitted(self):
        for site in self.links:
            self.say(site, hello(site), 1)
        self.channel.admit()
        return self


@pytest.fixture
def talk():
    return Conversation().admitted()


# entering


@pytest.mark.parametrize("said", [Hello("west", SPEC, 0), Hello("north", SPEC, 0), Hello("east", "other", 0)])
def test_a_site_that_says_another_name_or_spec_is_refused_by_name(said):
    talk = Conversation()
    talk.say("east", said, 1)
    talk.say("west", hello("west"), 1)
    with pytest.raises(ProtocolError, match="'east' says it is"):
        talk.channel.admit()


def test_nothing_is_heard_before_hello():
    talk = Conversation()
    talk.say("west", validated(), 1)
    talk.say("west", validated(), 7)  # of a process that has not noticed that the coordinator is a new one
    talk.say("east", hello("east"), 1)
    talk.say("west", hello("west"), 1)
    talk.channel.admit()
    talk.say("west", validated(loss=0.25), 2)
    assert talk.channel.receive("west", Validated).loss == 0.25


def test_the_coordinator_names_who_has_not_come():
    talk = Conversation()
    assert absent(talk.channel) == list(SITES)
    talk.say("west", hello("west"), 1)
    talk.channel.receive("west", Hello)
    assert absent(talk.channel) == ["east"]


# order


def test_messages_come_in_the_order_in_which_they_were_sent(talk):
    for number in range(5):
        talk.say("east", validated((0, number, 0, -1)), number + 2)
    found = [talk.channel.receive("east", Validated).position[1] for _ in range(5)]
    assert found == list(range(5))


def test_a_repeated_message_is_discarded(talk):
    for sequence, loss in ((2, 0.1), (2, 0.2), (1, 0.3), (3, 0.4)):
        talk.say("east", validated(loss=loss), sequence)
    assert [talk.channel.receive("east", Validated).loss for _ in range(2)] == [0.1, 0.4]


def test_a_repeated_message_in_chunks_is_discarded_whole(talk):
    large = [np.full(100_000, value, np.float32) for value in (1, 2, 3)]
    for sequence, array in zip((2, 2, 3), large, strict=True):
        talk.say("east", HeadGradient(PLACE, array), sequence)
    assert [talk.channel.receive("east", HeadGradient).tensor[0] for _ in range(2)] == [1, 3]


def test_a_gap_names_the_peer_and_what_was_lost(talk):
    talk.say("east", validated(), 2)
    talk.say("east", validated(), 4)
    talk.channel.receive("east", Validated)
    with pytest.raises(ProtocolError, match="'east' sent message 4 after 2"):
        talk.channel.receive("east", Validated)


def test_a_site_notices_a_gap_too(talk):
    site = SiteChannel(talk.links["east"], limit=LIMIT, release=lambda message, size: None)
    talk.channel.lines["east"].sent = 5
    talk.channel.broadcast(Welcome((1, 2)))
    with pytest.raises(ProtocolError, match="'coordinator' sent message 6 after 0"):
        site.receive(Welcome)


@pytest.mark.parametrize(
    ("kind", "position", "expects"),
    [
        (Activations, PLACE, "'west' sent Validated at .* expected Activations"),
        (Validated, (0, 2, 0, 3), r"'west' sent Validated at .* expected Validated at \(0, 2, 0, 3\)"),
    ],
)  # fmt: skip
def test_another_kind_or_place_than_is_due_names_the_peer(talk, kind, position, expects):
    talk.say("west", validated(), 2)
    with pytest.raises(ProtocolError, match=expects):
        talk.channel.receive("west", kind, position)


def test_a_site_checks_kind_and_place_of_what_comes_down(talk):
    site = SiteChannel(talk.links["east"], limit=LIMIT, release=lambda message, size: None)
    talk.channel.send("east", Verdict(PLACE, True))
    with pytest.raises(ProtocolError, match="'coordinator' sent Verdict"):
        site.receive(CutGradient, PLACE)
    talk.channel.send("east", Verdict(PLACE, True))
    with pytest.raises(ProtocolError, match="'coordinator' sent Verdict at"):
        site.receive(Verdict, (0, 0, 0, 0))


def test_gather_gives_site_order_whatever_arrives_first():
    sites = ("c", "a", "b")
    talk = Conversation(sites).admitted()
    for late in ("b", "a", "c"):
        talk.say(late, validated((0, 1, sites.index(late), -1), loss=ord(late)), 2)
    found = talk.channel.gather(Validated, (0, 1, 0, -1))
    assert [chr(int(each.loss)) for each in found] == list(sites)


def test_gather_refuses_one_site_s_message_at_another_s_place(talk):
    for site in SITES:
        talk.say(site, validated((0, 1, 0, -1)), 2)
    with pytest.raises(ProtocolError, match="'west'"):
        talk.channel.gather(Validated, (0, 1, 0, -1))


# what is malformed names the peer


@pytest.mark.parametrize(
    "frames", [[b"junk"], [b""], [b"a", b"b", b"c"], [framed(hello("east"), 2)[0][0], b"x"]]
)
def test_what_is_no_message_names_the_peer(talk, frames):
    talk.links["east"].send(frames)
    with pytest.raises(ProtocolError, match="'east' broke the protocol"):
        talk.channel.receive("west", Validated)


def test_a_message_over_the_limit_names_the_peer():
    talk = Conversation(limit=1000).admitted()
    talk.say("west", HeadGradient(PLACE, np.zeros(251, np.float32)), 2)
    with pytest.raises(ProtocolError, match=r"'west' broke the protocol.*limit"):
        talk.channel.receive("west", HeadGradient)


def test_another_message_between_the_chunks_of_one_names_the_peer(talk):
    first, *_ = framed(HeadGradient(PLACE, np.zeros(100_000, np.float32)), 2)
    talk.links["west"].send(first)
    talk.say("west", validated(), 3)
    with pytest.raises(ProtocolError, match="'west' broke the protocol: expected the next chunk"):
        talk.channel.receive("west", HeadGradient)


def test_sites_chunks_may_interleave(talk):
    pairs = zip(
        *(framed(HeadGradient(PLACE, np.full(200_000, i, np.float32)), 2) for i in (1, 2)), strict=True
    )
    for east, west in pairs:
        talk.links["east"].send(east)
        talk.links["west"].send(west)
    assert [found.tensor[-1] for found in talk.channel.gather(HeadGradient)] == [1, 2]


# on real sockets


@pytest.mark.parametrize("transport", ["tcp", "ipc"])
def test_both_sides_count_the_same_bytes_by_phase_and_kind(transport):
    with meeting(transport) as parties, ThreadPoolExecutor(2) as pool:
        channel, sites = parties.entered()
        channel.welcome((3, 4))
        for site in sites.values():
            site.receive(Welcome)
            site.send(Activations(PLACE, np.zeros((7, 30_000), np.float32), np.zeros(7, np.float32)))
        for name, site in sites.items():
            channel.receive(name, Activations, PLACE)
            channel.send(name, CutGradient(PLACE, np.zeros((7, 30_000), np.float32)))
            site.receive(CutGradient, PLACE)
        leaving = [pool.submit(site.leave, Done({}, {})) for site in sites.values()]
        channel.finish()
        channel.dismiss()
        for each in leaving:
            each.result(30)
        for name, site in sites.items():
            assert dict(channel.lines[name].bytes) == dict(site.line.bytes)
            assert set(site.line.bytes) == {
                "up.control.hello", "down.control.welcome", "up.training.activations",
                "down.training.cutgradient", "up.control.done", "down.control.bye",
            }  # fmt: skip
            assert site.line.bytes["up.training.activations"] > 4 * 7 * 30_001
        both = sum((site.line.bytes for site in sites.values()), type(channel.lines.counted())())
        assert channel.lines.counted() == both


@pytest.mark.parametrize("transport", ["tcp", "ipc"])
def test_a_lost_site_is_named(transport):
    with meeting(transport) as parties:
        channel, _ = parties.entered()
        parties.dealers[1]._context.destroy(linger=0)
        with pytest.raises(PeerLost, match="site 'west' ended"):
            channel.receive("east", Validated)


def test_a_site_lost_after_its_last_word_is_named_when_more_is_due():
    with meeting() as parties:
        channel, sites = parties.entered()
        sites["west"].send(validated())
        wait_for(lambda: channel._pump(0.1) or channel.lines["west"].waiting())
        parties.dealers[1]._context.destroy(linger=0)
        sites["east"].send(validated())
        # the end of west's connection is seen while its word still waits to be read
        wait_for(lambda: channel._pump(0.5) or channel.lines["east"].waiting())
        for _ in range(3):
            channel._pump(0.1)
        assert channel.gather(Validated)
        with pytest.raises(PeerLost, match="site 'west' ended"):
            channel.receive("west", Validated)


def test_the_coordinator_cannot_send_to_a_site_that_left():
    with meeting() as parties:
        channel, _ = parties.entered()
        parties.dealers[0]._context.destroy(linger=0)

        def sends():
            try:
                channel.send("east", Bye())
            except PeerLost as error:
                return str(error)
            return None

        assert "site 'east' is no longer connected" in wait_for(sends)


def test_a_lost_coordinator_is_named(monkeypatch):
    with meeting() as parties:
        channel, sites = parties.entered()
        channel.welcome((1, 1))
        waiting = sites["east"]
        assert waiting.enter(hello("east"), print) == Welcome((1, 1))
        monkeypatch.setattr(sockets, "LEAVE_SECONDS", 0)
        parties.router.close()
        with pytest.raises(PeerLost, match="coordinator ended"):
            waiting.receive(CutGradient)


@pytest.mark.parametrize("transport", ["tcp", "ipc"])
def test_sites_leave_after_bye_and_the_coordinator_after_every_done(transport):
    with meeting(transport) as parties, ThreadPoolExecutor(3) as pool:
        channel, sites = parties.entered()
        first = pool.submit(sites["west"].leave, Done({"front": "1"}, {}))
        finished = pool.submit(channel.finish)
        wait_for(lambda: channel.lines["west"].waiting())
        assert not finished.done()
        assert not first.done()
        last = pool.submit(sites["east"].leave, Done({"front": "0"}, {"flops": 1.0}))
        assert [done.hashes["front"] for done in finished.result(30)] == ["0", "1"]
        channel.dismiss()
        first.result(30)
        last.result(30)
        channel.close()


def test_bye_reaches_a_site_although_the_coordinator_closes_at_once():
    for _ in range(5):
        with meeting() as parties, ThreadPoolExecutor(2) as pool:
            channel, sites = parties.entered()
            leaving = [pool.submit(site.leave, Done({}, {})) for site in sites.values()]
            channel.finish()
            channel.dismiss()
            channel.close()
            assert not len(parties.router._connections)  # all have hung up
            for each in leaving:
                each.result(30)
            assert all(site._link._context.closed for site in sites.values())


def test_the_last_word_is_heard_though_the_connection_ended_meanwhile(monkeypatch):
    """A message and the end may both come after the socket was read, before the end is looked for."""
    with meeting(sites=("east",)) as parties, ThreadPoolExecutor(1) as pool:
        channel, sites = parties.entered()
        channel.welcome((1,))
        site = sites["east"]
        site.enter(hello("east"), print)
        site._link.receive(0.2)  # nothing: what else may happen is looked at next time
        link, look = site._link, site._link._look_around

        def late():
            if parties.router._context.closed:
                return look()
            for number in range(3):
                channel.send("east", Kept(number))
            channel.dismiss()
            monkeypatch.setattr(sockets, "LEAVE_SECONDS", 0)
            channel.close()  # which waits for nobody here
            assert link._monitor.poll(20_000)
            return look()

        link._waiting._look_around = late
        assert pool.submit(site.receive, Bye).result(30) == Bye()


def test_a_connection_s_last_message_is_its_own():
    """What is read after word of its end must not count as another's, which may have its number."""
    with meeting(sites=("east",)) as parties:
        link, look = parties.router, parties.router._look_around
        site = parties.site("east")

        def late():
            if not site._link._context.closed:
                site.send(hello("east"))
                site._link.close()
                assert link._monitor.poll(20_000)
            return look()

        link._waiting._look_around = late
        heard = wait_for(lambda: link.receive(0.2))
        assert heard[0] == "east"
        assert link.gone() == [heard[1]]
        assert not len(link._connections)


def test_the_coordinator_stays_until_all_have_hung_up(monkeypatch):
    with meeting() as parties, ThreadPoolExecutor(1) as pool:
        channel, sites = parties.entered()
        channel.dismiss()
        sites["east"]._link.close()
        closing = pool.submit(channel.close)
        wait_for(lambda: len(parties.router._connections) == 1)
        assert not closing.done()
        sites["west"]._link.close()
        closing.result(30)


def test_a_site_that_leaves_after_bye_is_not_lost():
    with meeting() as parties, ThreadPoolExecutor(2) as pool:
        channel, sites = parties.entered()
        leaving = [pool.submit(site.leave, Done({}, {})) for site in sites.values()]
        channel.finish()
        channel.dismiss()
        for each in leaving:
            each.result(30)
        for _ in range(3):
            channel._pump(0.1)
        assert channel.lost() == []
        assert not len(parties.router._connections)


def test_the_gate_hears_each_message_before_it_leaves():
    hub = Hub()
    link = hub.spoke("east")

    def refuse(message, size):
        raise ConnectionRefusedError

    with pytest.raises(ConnectionRefusedError):
        SiteChannel(link, limit=LIMIT, release=refuse).send(Sealed(PLACE, "a", "b", np.zeros(3, np.uint8)))
    assert hub.receive(0.01) is None


def test_a_site_that_floods_is_refused_before_memory_grows():
    hub = Hub()
    channel = CoordinatorChannel(hub, ["east", "west"], spec="s", limit=4000, ahead=20_000)
    sites = {}
    for name in ("east", "west"):
        sites[name] = SiteChannel(hub.spoke(name), limit=4000, release=lambda message, size: None)
        sites[name].send(Hello(name, "s", 0))
    channel.admit()
    for step in range(30):
        sites["west"].send(Activations((0, 0, 1, step), np.zeros((10, 50), "float32"), None))
    with pytest.raises(ProtocolError, match=r"'west' sent .* ahead of its turn"):
        channel.receive("east", Activations)


def test_a_site_may_say_hello_again_before_anything_has_begun():
    with meeting() as parties:
        channel = parties.coordinator()
        parties.site("east").send(hello("east"))
        first, second = parties.site("west"), parties.site("west")
        first.send(hello("west"))
        wait_for(lambda: channel._pump(0.05) or channel.lines["west"].waiting())
        second.send(hello("west"))
        wait_for(lambda: channel._pump(0.05) or len(parties.router._connections) == 3)
        channel.admit()
        channel.welcome((1, 1))
        assert second.receive(Welcome) == Welcome((1, 1))


def test_a_site_that_breaks_the_protocol_loses_its_session_and_may_come_back():
    talk = Conversation().admitted()
    talk.channel.welcome((1, 1), generation=1)
    talk.links["west"].send([b"no header"])
    with pytest.raises(ProtocolError) as broken:
        talk.channel.receive("west", Validated)
    assert broken.value.peer == "west"
    assert talk.channel.refuse(broken.value)
    talk.say("west", hello("west"), 1)
    assert talk.channel.readmit(print, 30) == ["west"]
    site = SiteChannel(talk.links["west"], limit=LIMIT, release=lambda message, size: None)
    assert site.receive(Welcome) == Welcome((1, 1))
    with pytest.raises(ProtocolError, match=r"'coordinator' refused: 'west' broke the protocol"):
        site.receive(Verdict)


def test_an_error_that_names_no_site_is_everybody_s():
    assert not Conversation().channel.refuse(ProtocolError("the schedule itself"))


def test_a_refusal_is_short_whatever_its_reason_repeats(talk):
    site = SiteChannel(talk.links["west"], limit=LIMIT, release=lambda message, size: None)
    assert talk.channel.refuse(ProtocolError("x" * 2_000_000, "west"))
    with pytest.raises(ProtocolError, match=r"'coordinator' refused: x{2000}$"):
        site.receive(Verdict)


def test_a_second_process_of_a_site_takes_its_place_only_if_it_can_go_on():
    with meeting() as parties:
        channel = parties.coordinator()
        channel.entrance.unfit = lambda hello: "" if hello.commits else "it holds nothing"
        first, other = parties.site("east"), parties.site("west")
        first.send(hello("east"))
        other.send(hello("west"))
        channel.admit()
        channel.welcome((1, 1), 4, 1)
        assert first.receive(Welcome).commit == 4
        stray = parties.site("east")
        with ThreadPoolExecutor() as pool:
            entering = pool.submit(stray.enter, hello("east"), print)
            wait_for(lambda: channel._pump(0.05) or entering.done())
        with pytest.raises(ProtocolError, match="another process with the key of 'east' takes part"):
            entering.result()
        first.send(Committed(5, "h", "l"))
        assert channel.receive("east", Committed).number == 5  # and the first one noticed nothing
        successor = parties.site("east")
        successor.send(Hello("east", SPEC, 0, {5: "h"}))
        with pytest.raises(PeerLost, match="'east'"):
            channel.receive("east", Committed)
        assert channel.readmit(print, 30) == ["east"]
        with pytest.raises(ProtocolError, match="another process with your key came"):
            first.receive(Welcome)


# cut connections


def cut_meeting(parties):
    """Let one site's connection go through a proxy; give the proxy, both channels, and what was released."""
    proxy, released = Proxy(), []
    proxy.target = ("127.0.0.1", int(parties.router.endpoint.rpartition(":")[2]))
    key, channel = parties.keys["east"], parties.coordinator()
    link = Dealer(proxy.endpoint, *(bytes(k) for k in (parties.server.public_key, key, key.public_key)))
    parties.dealers.append(link)
    site = SiteChannel(link, limit=LIMIT, release=lambda message, size: None)
    site.release_again = lambda message, size: released.append(message)
    with ThreadPoolExecutor() as pool:
        entering = pool.submit(site.enter, Hello("east", SPEC, 0, {}, 7), print)
        channel.admit()
        channel.welcome((1,), generation=1)
        entering.result(30)
    return proxy, channel, site, released


def talks(site, steps):
    """Send a tensor a step, each bigger than a chunk and changed in place after, and hear another."""
    heard, tensor = [], np.zeros((2, 40_000), "float32")
    for step in range(steps):
        tensor[:] = step
        site.send(Activations((0, 0, 0, step), tensor, None))
        heard.append(float(site.receive(CutGradient, (0, 0, 0, step)).tensor[0, 0]))
    return heard


@pytest.mark.parametrize("harm", ["cut", "half_close"])
def test_a_cut_connection_loses_nothing(harm):
    with meeting(sites=("east",)) as parties:
        proxy, channel, site, released = cut_meeting(parties)
        notes, found = [], []
        channel.entrance.note = notes.append
        with ThreadPoolExecutor() as pool:
            talking = pool.submit(talks, site, 40)
            for step in range(40):
                if step in (5, 20):
                    getattr(proxy, harm)()  # whatever is on its way, in the middle of a tensor or not
                up = channel.receive("east", Activations, (0, 0, 0, step))
                found.append(float(up.tensor[1, -1]))
                channel.send("east", CutGradient((0, 0, 0, step), up.tensor + 100))
            heard = talking.result(30)
        proxy.close()
    assert found == [float(step) for step in range(40)]
    assert heard == [step + 100.0 for step in range(40)]
    assert len(notes) == 2
    assert all("is connected again" in note for note in notes)
    assert released[0] == Hello("east", SPEC, released[0].last_seen, {}, 7)
    assert all(isinstance(message, Hello | Activations) for message in released)


def test_a_process_that_begins_anew_does_not_go_on_where_another_was(monkeypatch):
    monkeypatch.setattr("coordinator.protocol.presence.RESUME_SECONDS", 0.5)
    with meeting(sites=("east",)) as parties:
        proxy, channel, site, _ = cut_meeting(parties)
        site._hello = Hello("east", SPEC, 0, {}, 8)  # another session
        proxy.cut()
        with ThreadPoolExecutor() as pool:
            talking = pool.submit(talks, site, 1)
            with pytest.raises(PeerLost, match="'east' ended or its connection broke"):
                channel.receive("east", Activations)
            with pytest.raises(PeerLost, match="the coordinator ended"):
                talking.result(30)
        proxy.close()


def test_a_hello_said_twice_before_the_welcome_came_begins_once():
    with meeting(sites=("east",)) as parties:
        channel, (first, second) = parties.coordinator(), (parties.site("east"), parties.site("east"))
        first.send(Hello("east", SPEC, 0, {}, 7))
        channel.admit()
        channel.welcome((1,), generation=1)
        first._link.reconnect()
        wait_for(lambda: channel._pump(0.05) or channel._presence.cut)
        second.send(Hello("east", SPEC, 0, {}, 7))  # the same process, which has heard nothing
        with ThreadPoolExecutor() as pool:
            heard = pool.submit(second.receive, Welcome)
            wait_for(lambda: channel._pump(0.05) or heard.done())
            assert heard.result() == Welcome((1,))
        second.send(validated())
        assert channel.receive("east", Validated, PLACE) == validated()


def test_what_waits_to_be_acknowledged_is_bounded():
    unheard = Unheard(3000)
    for number in range(1, 5):
        unheard.add(number, validated(), [[b"x" * 500]], 500)
    assert unheard.after(0, 4) is None  # the first two had to go
    assert [frames for _, frames in unheard.after(2, 4)] == [[[b"x" * 500]]] * 2
    assert unheard.after(4, 4) == []
    assert unheard.after(5, 4) is None


def test_a_tensor_that_changes_changes_no_message_under_way():
    """Sent without waiting, and perhaps once more after a cut: in both cases as it was said."""
    line, tensor = Line("east", sends="down", limit=LIMIT, ahead=LIMIT), np.zeros(CHUNK_BYTES, np.float32)
    line.unheard = Unheard(LIMIT)
    sent = line.frames(Weights((0, 0, 0, -1), (tensor,), 1))
    tensor[:] = 1.0
    ((_, again),) = line.unheard.after(0, 1)
    assert {bytes(chunk) for _, chunk in sent} == {bytes(chunk) for _, chunk in again} == {bytes(CHUNK_BYTES)}


def test_what_all_are_told_is_copied_once():
    tensor = np.zeros(CHUNK_BYTES, np.float32)
    message = frozen(Weights((0, 0, 0, -1), (tensor,), 1))
    lines = [Line(site, sends="down", limit=LIMIT, ahead=LIMIT) for site in SITES]
    first, second = ([np.frombuffer(chunk, np.uint8) for _, chunk in line.frames(message)] for line in lines)
    assert all(np.shares_memory(a, b) for a, b in zip(first, second, strict=True))
    assert not any(np.shares_memory(a, tensor) for a in first)
