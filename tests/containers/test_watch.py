"""How a gang is ended: first asked, then told, then killed."""

import os
import signal
import subprocess
import sys
from contextlib import suppress

import pytest

from containers.follow import Progress, follow
from containers.gang import Gang
from containers.gathering import Gathering
from containers.member import start
from containers.terminal import Lines, Voice
from containers.watch import Watch

DEAF = "import time; print(1, flush=True); time.sleep(300)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {DEAF}"
UNTIL_EOF = "import sys; print(1, flush=True); sys.stdin.read()"


@pytest.fixture
def gang(tmp_path):
    return Gang("run", ("north",), {}, 1, tmp_path, None, tmp_path / "state", tmp_path / "results")


def begin(tmp_path, party, program):
    keep = os.open(tmp_path, os.O_RDONLY)
    try:
        argv = (sys.executable, "-c", program)
        member = start(party, argv, os.environ, tmp_path / f"{party}.txt", keep=keep, piped=True)
    finally:
        os.close(keep)
    assert member.process.stdout.readline() == b"1\n"
    return member


def follow_quietly(gang, watch, **options):
    voice = Voice()
    return follow(Gathering(gang), watch, Progress("run", Lines(voice.note), voice), voice, **options)


def test_who_does_not_hear_the_lifeline_is_told_and_then_killed(tmp_path):
    with Watch(leave_seconds=1, term_seconds=1) as watch:
        for party, program in (("eof", UNTIL_EOF), ("deaf", DEAF), ("stubborn", STUBBORN)):
            watch.add(begin(tmp_path, party, program))
        watch.leave_nobody()
        assert [member.status for member in watch.members] == [0, -signal.SIGTERM, -signal.SIGKILL]
        assert [member.party for member in sorted(watch.members, key=lambda m: m.ended)] == [
            "eof",
            "deaf",
            "stubborn",
        ]
        assert all(member.ended_by_us for member in watch.members)


def test_an_error_in_the_launcher_leaves_nobody(tmp_path):
    with suppress(RuntimeError), Watch(leave_seconds=0.5, term_seconds=0.5) as watch:
        watch.add(begin(tmp_path, "deaf", DEAF))
        raise RuntimeError("a fault")
    with pytest.raises(ProcessLookupError):
        os.kill(watch.members[0].process.pid, 0)


@pytest.mark.parametrize(("coordinator", "site"), [("print(1)", DEAF), (DEAF, "print(1)")])
def test_who_stays_when_the_work_is_done_is_named(tmp_path, gang, coordinator, site, capsys):
    with Watch(leave_seconds=0.5, term_seconds=0.5) as watch:
        watch.add(begin(tmp_path, "coordinator", coordinator))
        watch.add(begin(tmp_path, "north", site))
        ending = follow_quietly(gang, watch, linger_seconds=0.5)
    assert ending.why == "lingered"
    assert ending.stayed == (("north",) if site == DEAF else ("coordinator",))
    assert "stayed after the rest was done" in capsys.readouterr().err


def test_a_failure_is_not_taken_for_the_end_that_follows_from_it(tmp_path, gang):
    with Watch(leave_seconds=1, term_seconds=1) as watch:
        watch.add(begin(tmp_path, "coordinator", UNTIL_EOF))
        watch.add(begin(tmp_path, "north", "print(1); raise SystemExit(3)"))
        assert follow_quietly(gang, watch).why == "failed"
        assert [member.party for member in watch.failed()] == ["north"]
        assert [member.ended_by_us for member in watch.members] == [True, False]


def test_signals_are_given_back(tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    with Watch() as watch:
        os.kill(os.getpid(), signal.SIGTERM)
        watch.step(5)
        assert watch.stopped_by is signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before


def test_an_ignored_signal_stays_ignored(tmp_path):
    """Under nohup the end of the terminal ends nothing."""
    program = (
        "import os, signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "from containers.watch import Watch\n"
        "with Watch() as watch:\n"
        "    os.kill(os.getpid(), signal.SIGHUP); watch.step(0); print(watch.stopped_by)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "None"
