"""A party's lifeline and its end."""

import os
import signal
import sys
import time

import pytest

from containers.errors import ConfigError
from containers.member import ask_to_leave, note_end, reap, send, start

UNTIL_EOF = (sys.executable, "-c", "import sys; sys.stdin.read()")


@pytest.fixture
def begin(tmp_path):
    members = []
    keep = os.open(tmp_path, os.O_RDONLY)

    def started(argv=UNTIL_EOF, party="north"):
        members.append(start(party, argv, os.environ, tmp_path / f"{party}.txt", keep=keep, piped=False))
        return members[-1]

    yield started
    for member in members:
        reap(member)
    os.close(keep)


def ended(member, seconds=30):
    give_up = time.monotonic() + seconds
    while member.ended is None and time.monotonic() < give_up:
        note_end(member)
        time.sleep(0.02)
    return member.ended is not None


def test_no_sibling_keeps_a_lifeline_open(begin):
    """Were the write end inherited, the first party would never see its end of file."""
    first, *others = [begin(party=f"p{number}") for number in range(4)]
    ask_to_leave(first)
    assert ended(first)
    assert first.status == 0
    note_end(others[0])
    assert others[0].ended is None


def test_a_party_inherits_nothing_but_what_it_is_given(begin, tmp_path):
    begin()  # its lifeline's write end is open here
    listing = (
        "from pathlib import Path; print(sum(path.exists() for path in Path('/proc/self/fd').iterdir()))"
    )
    member = begin((sys.executable, "-c", listing), party="lister")
    assert ended(member)
    assert int((tmp_path / "lister.txt").read_text()) == 4  # standard input, output, error, and the kept one


def test_an_end_is_seen_before_it_is_reaped(begin):
    member = begin((sys.executable, "-c", "raise SystemExit(7)"))
    assert ended(member)
    assert member.status == 7
    assert not member.ended_by_us
    os.kill(member.process.pid, 0)  # the pid is still this party's own


def test_an_end_by_our_signal_is_ours_and_any_other_is_not(begin):
    ours, other = (
        begin(party="ours"),
        begin((sys.executable, "-c", "import time; time.sleep(60)"), party="other"),
    )
    ask_to_leave(other)
    os.kill(other.process.pid, signal.SIGKILL)
    assert ended(other)
    assert other.status == -signal.SIGKILL
    assert not other.ended_by_us
    send(ours, signal.SIGTERM)
    assert ended(ours)
    assert not ours.ended_by_us  # nobody had asked it to leave


def test_a_program_that_does_not_exist_is_a_sentence(begin):
    with pytest.raises(ConfigError, match="north: /no/such/python cannot be started"):
        begin(("/no/such/python",))
