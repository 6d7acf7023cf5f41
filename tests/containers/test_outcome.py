"""Which end came first."""

import json
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from containers.outcome import Outcome, advice, earliest, exit_status, last_lines, outcome


def ending(party, code, cause, time):
    return Outcome(party, code, cause, "", time)


def test_the_earliest_of_two_ends_close_together_is_the_cause():
    late, early = ending("north", 2, "data", 10.002), ending("south", 3, "crash", 10.001)
    assert earliest([late, early]) is early


@pytest.mark.parametrize("echo", ["peer_lost", "lifeline"])
def test_an_echo_is_no_cause_however_early(echo):
    cause = ending("south", 137, "crash", 11.0)
    assert earliest([ending("coordinator", 5, echo, 10.0), cause, ending("north", 5, echo, 10.5)]) is cause


def test_among_echoes_the_first_counts():
    first = ending("coordinator", 5, "peer_lost", 1.0)
    assert earliest([ending("north", 6, "lifeline", 2.0), first]) is first


def test_nobody_failed():
    assert earliest([ending("north", 0, "ok", 1.0)]) is None


@pytest.fixture
def member(tmp_path):
    log = tmp_path / "log-1.txt"
    log.write_text("first\n\nlast words\n")
    return SimpleNamespace(party="north", status=0, ended=5.0, log=log, ended_by_us=False)


@pytest.mark.parametrize(
    ("status", "by_us", "code", "cause", "message"),
    [
        (0, False, 0, "ok", ""),
        (1, False, 1, "crash", "last words"),
        (-9, False, 137, "crash", "ended by SIGKILL"),
        (-15, True, 143, "lifeline", "ended by SIGTERM"),
        (-34, False, 162, "crash", "ended by SIGRTMIN"),
        (-40, False, 168, "crash", "ended by signal 40"),
    ],
)
def test_an_outcome_is_written_for_a_party_that_could_not(
    member, tmp_path, monkeypatch, status, by_us, code, cause, message
):
    monkeypatch.setattr(time, "monotonic", lambda: 15.0)  # ten seconds after its end
    monkeypatch.setattr(time, "time", lambda: 1010.0)
    member.status, member.ended_by_us = status, by_us
    found = outcome(member, tmp_path)
    assert found == Outcome("north", code, cause, message, 1000.0)
    assert json.loads((tmp_path / "exit.json").read_text())["cause"] == cause


def write(folder: Path, **changes):
    end = {"party": "north", "code": 2, "cause": "data", "message": "row 3", "time": 4.0, **changes}
    (folder / "exit.json").write_text(json.dumps(end))


def test_what_a_party_wrote_itself_counts(member, tmp_path):
    member.status = 2
    write(tmp_path)
    assert outcome(member, tmp_path) == Outcome("north", 2, "data", "row 3", 4.0)


def test_a_party_killed_after_it_said_ok_has_failed(member, tmp_path):
    member.status = -11
    write(tmp_path, cause="ok", code=0)
    assert outcome(member, tmp_path).message == "ended by SIGSEGV"
    assert json.loads((tmp_path / "exit.json").read_text())["cause"] == "crash"


@pytest.mark.parametrize("text", ["", "[1]", '{"cause": "data"}', '{"cause":"data","message":"","time":"x"}'])
def test_an_unreadable_outcome_is_replaced(member, tmp_path, text):
    member.status = 1
    (tmp_path / "exit.json").write_text(text)
    assert outcome(member, tmp_path).cause == "crash"
    assert json.loads((tmp_path / "exit.json").read_text())["message"] == "last words"


def test_the_end_of_a_long_log_is_read_whatever_it_holds(tmp_path):
    log = tmp_path / "log.txt"
    log.write_bytes(b"x" * 100_000 + b"\n\xff\xfe broken\nlast\n")
    assert last_lines(log, lines=2)[1] == "last"
    assert last_lines(tmp_path / "none") == []


def test_every_cause_has_a_next_step():
    said = {
        advice(ending("north", 1, cause, 0.0))
        for cause in ("config", "data", "protocol", "peer_lost", "crash")
    }
    assert len(said) == 5
    assert "memory" in advice(ending("north", 137, "crash", 0.0))
    assert exit_status(-9) == 137
