"""Who may talk: a site is the key its handshake proved, whatever it says of itself.

The four tests of identity (spoofed id, squatted id, no handler, handler died) and their neighbours, on
real sockets over TCP and ipc.
"""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import pytest
import zmq
from nacl.public import PrivateKey
from protocol.meeting import (
    LIMIT,
    SITES,
    SPEC,
    STILL_SECONDS,
    TRANSPORTS,
    absent,
    hello,
    meeting,
    monitored,
    wait_for,
)  # fmt: skip
from protocol.messages_drawn import framed

from coordinator.errors import ConfigError, PeerLost, ProtocolError
from coordinator.protocol import dealer, sockets
from coordinator.protocol.channel import CoordinatorChannel
from coordinator.protocol.messages import Hello, Validated, Verdict, Welcome
from coordinator.protocol.site_channel import Rewound
from coordinator.protocol.sockets import Router

PLACE = (0, 0, 0, -1)


@pytest.fixture(params=TRANSPORTS)
def parties(request):
    with meeting(request.param) as found:
        yield found


@contextmanager
def foreign(parties, *, secret=None, routing_id=None, plain=False):
    """Open a socket that keeps to none of our rules: any key or none, any routing id."""
    context = zmq.Context()
    socket = context.socket(zmq.DEALER)
    try:
        if not plain:
            secret = secret or PrivateKey.generate()
            socket.curve_serverkey = bytes(parties.server.public_key)
            socket.curve_secretkey, socket.curve_publickey = bytes(secret), bytes(secret.public_key)
        if routing_id:
            socket.set(zmq.ROUTING_ID, routing_id)
        monitor = monitored(socket)
        socket.connect(parties.router.endpoint)
        yield socket, monitor
    finally:
        socket.disable_monitor()
        context.destroy(linger=0)


def knock(socket):
    """Say something; a socket that was refused already has nowhere to put it."""
    with suppress(zmq.Again):
        socket.send(framed(hello("east"))[0][0], zmq.NOBLOCK)


def outcome(parties, monitor):
    """Wait for what the handshake came to, while the router listens."""
    wait_for(lambda: parties.router.receive(0.05) or monitor.poll(0))
    return zmq.utils.monitor.parse_monitor_message(monitor.recv_multipart())["event"]


# who is let in


def test_an_admitted_site_is_known_by_its_key(parties):
    for name, key in parties.keys.items():
        parties.dealer(key).send([b"anything"])
        assert parties.heard() == (name, [b"anything"])


def test_an_unknown_key_is_refused(parties):
    with foreign(parties) as (socket, monitor):
        knock(socket)
        assert outcome(parties, monitor) == zmq.EVENT_HANDSHAKE_FAILED_AUTH
        assert parties.nothing_heard()


def test_the_coordinator_s_own_key_is_no_site_s(parties):
    with foreign(parties, secret=parties.server) as (socket, monitor):
        knock(socket)
        assert outcome(parties, monitor) == zmq.EVENT_HANDSHAKE_FAILED_AUTH
        assert parties.nothing_heard()


def test_a_peer_without_a_key_is_refused(parties):
    with foreign(parties, plain=True) as (socket, monitor):
        knock(socket)
        assert outcome(parties, monitor) & dealer.REFUSED
        assert parties.nothing_heard()


def test_a_public_key_without_its_secret_is_refused(parties):
    """The manifest is public: to hold a site's public key proves nothing."""
    context = zmq.Context()
    socket = context.socket(zmq.DEALER)
    socket.linger = 0
    socket.curve_serverkey = bytes(parties.server.public_key)
    socket.curve_secretkey = bytes(PrivateKey.generate())
    socket.curve_publickey = bytes(parties.keys["east"].public_key)
    socket.connect(parties.router.endpoint)
    knock(socket)
    assert parties.nothing_heard()
    context.destroy(linger=0)


def test_a_site_that_pinned_another_coordinator_s_key_sends_nothing(parties):
    site = parties.dealer(parties.keys["east"], server=PrivateKey.generate().public_key)
    site.send([b"secret"])
    wait_for(lambda: parties.router.receive(0.05) or site.receive(0.05) or site.refusals)
    assert parties.nothing_heard()


def test_many_refused_peers_do_not_keep_a_site_out(parties):
    context = zmq.Context()
    for _ in range(50):
        socket = context.socket(zmq.DEALER)
        socket.connect(parties.router.endpoint)
    parties.dealer(parties.keys["west"]).send([b"here"])
    assert parties.heard() == ("west", [b"here"])
    context.destroy(linger=0)


# spoofed id


def test_a_spoofed_name_never_takes_another_s_place(parties):
    """East, admitted, says Hello as west: it is refused by its own name, and west's line hears nothing."""
    channel = parties.coordinator()
    parties.site("east").send(Hello("west", SPEC, 0))
    with pytest.raises(ProtocolError, match="'east' says it is 'west'"):
        channel.admit()
    assert not channel.lines["west"].waiting()
    assert absent(channel) == ["west"]


def test_a_spoofed_name_beside_the_real_site_hears_nothing_of_it(parties):
    channel = parties.coordinator()
    real, spoof = parties.site("west"), parties.site("east")
    real.send(hello("west"))
    assert channel.receive("west", Hello).site == "west"
    spoof.send(hello("west"))
    assert channel.receive("east", Hello).site == "west"  # `admit` refuses it
    channel.send("west", Verdict(PLACE, True))
    assert real.receive(Verdict).best
    assert parties.dealers[1].receive(STILL_SECONDS) is None


# squatted id


def test_routing_ids_are_the_router_s_own(parties):
    """An id that a peer may choose could be another's: a site leaves it to the router."""
    parties.dealer(parties.keys["east"]).send([b"x"])
    route = wait_for(lambda: parties.router.receive(0.2))[1]
    assert len(route) == 5  # what libzmq makes: a zero byte and a number
    assert route[0] == 0


@pytest.mark.parametrize(("holder", "late"), [("west", "east"), ("east", "west")])
def test_a_squatted_routing_id_neither_reads_nor_ends_another_s_conversation(parties, holder, late):
    """A site chooses the routing id that another has: the conversation stays with who had it first."""
    channel = parties.coordinator()
    with foreign(parties, secret=parties.keys[holder], routing_id=b"west") as (first, _):
        first.send_multipart(framed(hello(holder))[0])
        channel.receive(holder, Hello)
        with foreign(parties, secret=parties.keys[late], routing_id=b"west") as (second, _):
            second.send_multipart(framed(hello(late))[0])
            assert parties.nothing_heard()  # handover is off: the second is not let in
            channel.send(holder, Verdict(PLACE, True))
            assert first.poll(10_000)
            assert not second.poll(int(STILL_SECONDS * 1000))
            assert absent(channel) == [late]


def test_a_peer_that_takes_a_site_s_automatic_id_hears_nothing_of_it(parties):
    channel, sites = parties.entered()
    stolen = channel._presence.routes["west"]
    with foreign(parties, secret=parties.keys["east"], routing_id=stolen) as (thief, _):
        knock(thief)
        assert parties.nothing_heard()
        channel.send("west", Verdict(PLACE, True))
        assert not thief.poll(int(STILL_SECONDS * 1000))
    assert sites["west"].receive(Verdict).best


def test_a_second_connection_with_a_site_s_key_changes_and_reads_nothing(parties):
    channel, sites = parties.entered()
    second = parties.site("west")
    second.line.sent = 1
    second.send(Verdict(PLACE, False))  # what only the real west may say, at the next place
    wait_for(lambda: channel._pump(0.1) or len(parties.router._connections) == 3)
    sites["west"].send(Verdict(PLACE, True))
    assert channel.receive("west", Verdict).best
    channel.send("west", Verdict(PLACE, True))
    assert sites["west"].receive(Verdict).best
    assert parties.dealers[-1].receive(STILL_SECONDS) is None


def test_the_end_of_a_second_connection_is_not_the_end_of_the_site(parties):
    channel, sites = parties.entered()
    second = parties.site("west")
    second.line.sent = 1
    second.send(Verdict(PLACE, False))
    wait_for(lambda: channel._pump(0.1) or len(parties.router._connections) == 3)
    second._link._context.destroy(linger=0)
    wait_for(lambda: channel._pump(0.1) or len(parties.router._connections) == 2)
    sites["west"].send(Verdict(PLACE, True))
    assert channel.receive("west", Verdict).best


def test_a_hello_with_a_site_s_key_takes_its_conversation_over(parties):
    """A site whose machine vanished comes back before its connection is known to be dead."""
    channel, sites = parties.entered()
    channel.welcome((1, 1), generation=1)
    assert sites["east"].receive(Welcome) == Welcome((1, 1))
    back = parties.site("west")
    back.send(hello("west"))
    with pytest.raises(PeerLost, match="'west' ended or its connection broke"):
        channel.receive("west", Verdict)
    assert channel.readmit(print, 30) == ["west"]
    channel.welcome((1, 1), 7, generation=2)
    assert back.receive(Welcome).commit == 7
    with pytest.raises(Rewound) as told:
        sites["east"].receive(Verdict)
    assert told.value.welcome.commit == 7
    sites["west"].send(Verdict(PLACE, False))  # from the connection before: nobody listens
    back.send(Verdict(PLACE, True))
    assert channel.receive("west", Verdict).best


def test_identity_is_read_from_every_message(parties):
    """Two sites' messages, interleaved: none is taken for the other's because it came before."""
    links = {name: parties.dealer(key) for name, key in parties.keys.items()}
    for number in range(20):
        name = SITES[number % 2]
        links[name].send([name.encode()])
        site, frames = parties.heard()
        assert site.encode() == frames[0]


# no handler, handler died


class NoHandler:
    """An authenticator that was forgotten."""

    pipe = None

    def __init__(self, context):
        pass

    def start(self):
        pass

    def configure_curve_callback(self, domain, allowed):
        pass

    def stop(self):
        pass

    def is_alive(self):
        return False


def test_without_a_handler_a_plain_curve_server_admits_anyone():
    """Why the test below is needed: this is what libzmq does if one forgets the authenticator."""
    context, server = zmq.Context(), PrivateKey.generate()
    router = context.socket(zmq.ROUTER)
    router.curve_server, router.curve_secretkey = True, bytes(server)
    port = router.bind_to_random_port("tcp://127.0.0.1")
    dealer = context.socket(zmq.DEALER)
    anyone = PrivateKey.generate()
    dealer.curve_serverkey = bytes(server.public_key)
    dealer.curve_secretkey, dealer.curve_publickey = bytes(anyone), bytes(anyone.public_key)
    dealer.connect(f"tcp://127.0.0.1:{port}")
    dealer.send(b"let in")
    assert router.poll(10_000)
    context.destroy(linger=0)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_without_a_handler_nobody_gets_in(monkeypatch, transport):
    monkeypatch.setattr(sockets, "ThreadAuthenticator", NoHandler)
    with meeting(transport) as parties:
        for secret in (parties.keys["east"], PrivateKey.generate()):
            with foreign(parties, secret=secret) as (socket, monitor):
                knock(socket)
                assert outcome(parties, monitor) & dealer.REFUSED
                assert parties.nothing_heard()


def stop(router):
    """End the handler, and close its socket."""
    router._authenticator.stop()


def crash(router):
    """End the handler's thread as an error in it would: its socket stays, nobody answers."""
    router._authenticator.pipe.send(b"TERMINATE")
    router._authenticator.thread.join(10)
    assert not router._authenticator.thread.is_alive()


@pytest.mark.parametrize("died", [stop, crash], ids=lambda died: died.__name__)
@pytest.mark.parametrize("known", [True, False], ids=["admitted key", "unknown key"])
def test_when_the_handler_died_nobody_new_gets_in_and_who_is_in_stays(monkeypatch, parties, died, known):
    monkeypatch.setattr(sockets, "HANDSHAKE_SECONDS", 1)
    connected = parties.dealer(parties.keys["east"])
    connected.send([b"one"])
    assert parties.heard() == ("east", [b"one"])
    died(parties.router)
    with foreign(parties, secret=parties.keys["west"] if known else None) as (socket, monitor):
        knock(socket)
        for number in range(3):
            connected.send([b"%d" % number])
            assert parties.heard() == ("east", [b"%d" % number])
        assert parties.nothing_heard()
        while monitor.poll(0):
            event = zmq.utils.monitor.parse_monitor_message(monitor.recv_multipart())["event"]
            assert event != zmq.EVENT_HANDSHAKE_SUCCEEDED


# refused, and let in later


def test_a_refused_site_says_so_and_gets_in_once_admitted(monkeypatch, parties):
    monkeypatch.setattr(dealer, "RETRY_SECONDS", 0.2)
    monkeypatch.setattr(sockets, "LOOK_SECONDS", 0.05)
    late, said = PrivateKey.generate(), []
    parties.keys["west"] = late
    channel, site = parties.coordinator(), parties.site("west")
    parties.site("east").send(hello("east"))
    with ThreadPoolExecutor(1) as pool:
        entering = pool.submit(site.enter, hello("west"), said.append, seconds=60)
        wait_for(lambda: channel._pump(0.05) or len(said) >= 2)
        assert absent(channel) in (["west"], list(SITES))
        parties.admitted[bytes(late.public_key)] = "west"
        channel.admit()
        channel.welcome((1, 2))
        assert entering.result(30) == Welcome((1, 2))
        assert said == sorted(set(said))  # it says each time how often it was refused
        going_on = pool.submit(site.receive, Verdict, PLACE)
        time.sleep(2 * STILL_SECONDS + 1)  # longer than a site waits before it looks whether it was lost
        channel.send("west", Verdict(PLACE, True))
        assert going_on.result(30).best


def test_who_is_refused_before_it_says_hello_does_not_hang(monkeypatch, parties):
    monkeypatch.setattr(dealer, "RETRY_SECONDS", 0.2)
    late = parties.keys["west"] = PrivateKey.generate()
    channel, site = parties.coordinator(), parties.site("west")
    parties.site("east").send(hello("east"))
    wait_for(lambda: not site._link._socket.poll(50, zmq.POLLOUT))  # refused: there is nowhere to queue
    parties.admitted[bytes(late.public_key)] = "west"
    with ThreadPoolExecutor(1) as pool:
        entering = pool.submit(site.enter, hello("west"), print, seconds=60)
        channel.admit()
        channel.welcome((1, 2))
        assert entering.result(60) == Welcome((1, 2))


def test_a_removed_site_is_shut_out_at_once_and_nobody_else(monkeypatch, parties):
    monkeypatch.setattr(sockets, "LOOK_SECONDS", 0.05)
    _, sites = parties.entered()
    del parties.admitted[bytes(parties.keys["east"].public_key)]
    with pytest.raises(PeerLost, match="'east' was removed from the manifest"):
        wait_for(lambda: parties.router.receive(0.1))
    wait_for(lambda: parties.router.receive(0.05) or parties.router.gone())
    sites["west"].send(Validated((0, 0, 1, -1), 0.0, 1, 0.0, 1))
    assert parties.heard()[0] == "west"
    shut_out = sites["east"]._link
    wait_for(lambda: shut_out.receive(0.05) or shut_out.connections_lost)
    assert not sites["west"]._link.connections_lost


def test_a_removed_key_is_not_let_in_again(monkeypatch, parties):
    monkeypatch.setattr(sockets, "LOOK_SECONDS", 0.05)
    public = bytes(parties.keys["east"].public_key)
    del parties.admitted[public]
    # the handshake is answered by a thread of its own, which may be quicker than the next look at the list
    wait_for(lambda: parties.router.receive(0.05) or public not in parties.router._list.keys)
    with foreign(parties, secret=parties.keys["east"]) as (_, monitor):
        assert outcome(parties, monitor) == zmq.EVENT_HANDSHAKE_FAILED_AUTH


def test_a_site_waits_for_a_coordinator_that_is_not_there_yet():
    with meeting() as parties:
        assert late_coordinator(parties) == Welcome((1,))


def late_coordinator(parties):
    endpoint = parties.router.endpoint
    secret = bytes(parties.server)
    parties.router.close()
    site = parties.site("east")
    with ThreadPoolExecutor(1) as pool:
        entering = pool.submit(site.enter, hello("east"), print)
        time.sleep(STILL_SECONDS)
        router = Router(endpoint, secret, lambda: {bytes(parties.keys["east"].public_key): "east"})
        parties.router = router
        channel = CoordinatorChannel(router, ("east",), spec=SPEC, limit=LIMIT)
        channel.admit()
        channel.welcome((1,))
        heard = entering.result(30)
        site._link.close()
        router.close()
        return heard


# where it listens


@pytest.mark.parametrize("endpoint", ["tcp://999.1.1.1:0", "nonsense", "ipc:///no/such/x"])
def test_an_endpoint_that_cannot_be_bound_is_a_config_error(endpoint):
    with pytest.raises(ConfigError, match="cannot listen here"):
        Router(endpoint, bytes(PrivateKey.generate()), dict)


def test_a_socket_s_path_is_neither_too_long_nor_taken_from_another():
    with pytest.raises(ConfigError, match="107 characters"):
        Router(f"ipc:///tmp/{'x' * 110}", bytes(PrivateKey.generate()), dict)
    with meeting("ipc") as parties, pytest.raises(ConfigError, match="another coordinator's socket"):
        Router(parties.router.endpoint, bytes(PrivateKey.generate()), dict)


def test_no_router_option_lets_a_peer_take_another_s_place():
    with meeting() as parties:
        socket = parties.router._socket
        assert socket.get(zmq.CURVE_SERVER) == 1
        assert socket.get(zmq.MECHANISM) == zmq.CURVE
        assert socket.get(zmq.ZAP_ENFORCE_DOMAIN) == 1
        assert parties.router._authenticator.is_alive()


def test_a_port_scan_and_junk_do_not_disturb(parties):
    """Whoever speaks no ZeroMQ at all is dropped; a site gets in beside it."""
    code = (
        "import socket, sys\n"
        "kind, place = sys.argv[1].split('://')\n"
        "s = socket.socket(socket.AF_UNIX if kind == 'ipc' else socket.AF_INET)\n"
        "s.connect(place if kind == 'ipc' else (place.split(':')[0], int(place.split(':')[1])))\n"
        "s.sendall(b'GET / HTTP/1.0\\r\\n\\r\\n' + bytes(range(256)) * 40)\n"
    )
    subprocess.run([sys.executable, "-c", code, parties.router.endpoint], check=True)
    parties.dealer(parties.keys["east"]).send([b"here"])
    assert parties.heard() == ("east", [b"here"])
