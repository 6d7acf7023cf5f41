"""Slow is not dead: a party whose one C call lasts outlasts the time-out is there; a stopped one is not.

Heartbeats are libzmq's own thread's business. The time-outs are shortened here, and so is the call.
"""

import ctypes
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from coordinator.errors import PeerLost
from coordinator.protocol import sockets
from coordinator.protocol.messages import Validated, Verdict
from tests.protocol.meeting import SPEC, meeting

ROOT = Path(__file__).resolve().parent.parent.parent
PLACE = (0, 0, 0, -1)
BEAT, SILENCE, BLOCK = 1, 3, 12  # seconds
# a party of its own process: its interpreter does nothing else while the C call holds its lock
SITE = f"""
import ctypes, sys
from coordinator.protocol import dealer, sockets
sockets.HEARTBEAT_SECONDS, sockets.SILENCE_SECONDS = {BEAT}, {SILENCE}
from coordinator.protocol.messages import Hello, Validated, Verdict, Welcome
from coordinator.protocol.site_channel import SiteChannel
endpoint, server, secret, public = sys.argv[1], *map(bytes.fromhex, sys.argv[2:5])
site = SiteChannel(dealer.Dealer(endpoint, server, secret, public), limit=1 << 20, release=lambda m, n: None)
site.enter(Hello("east", "{SPEC}", 0), print)
print("in", flush=True)
ctypes.PyDLL(None).sleep(int(sys.argv[5]))
site.send(Validated({PLACE}, 0.0, 1, 0.5, 1))
site.receive(Verdict)
print("heard", flush=True)
"""


@pytest.fixture
def parties(monkeypatch):
    monkeypatch.setattr(sockets, "HEARTBEAT_SECONDS", BEAT)
    monkeypatch.setattr(sockets, "SILENCE_SECONDS", SILENCE)
    with meeting(sites=("east",)) as found:
        yield found


def start(parties, seconds):
    """Start east in a process of its own, and let it in; it is then in a C call for so long."""
    key = parties.keys["east"]
    keys = (bytes(each).hex() for each in (parties.server.public_key, key, key.public_key))
    words = [sys.executable, "-c", SITE, parties.router.endpoint, *keys, str(seconds)]
    east = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    channel = parties.coordinator()
    channel.admit()
    channel.welcome((1,))
    assert east.stdout.readline() == "in\n"
    return channel, east


def test_a_site_in_one_long_call_is_waited_for(parties):
    channel, east = start(parties, BLOCK)
    assert channel.receive("east", Validated).loss == 0.5
    channel.send("east", Verdict(PLACE, True))
    assert east.communicate(timeout=60)[0] == "heard\n"


def test_a_coordinator_in_one_long_call_is_waited_for(parties):
    channel, east = start(parties, 0)
    ctypes.PyDLL(None).sleep(BLOCK)
    assert channel.receive("east", Validated).loss == 0.5
    channel.send("east", Verdict(PLACE, True))
    assert east.communicate(timeout=60)[0] == "heard\n"


def test_a_stopped_site_is_noticed_after_the_time_out(parties):
    """Of which no thread answers: what the tests above would see if heartbeats were Python's business."""
    channel, east = start(parties, BLOCK)
    east.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(PeerLost, match="'east' ended"):
            channel.receive("east", Validated)
    finally:
        east.kill()
        east.communicate()
