"""What events add up to, and how it looks."""

import fcntl
import os
import pty
import select
import sys
from contextlib import contextmanager
from io import TextIOWrapper

import pytest

from containers.events import Events
from containers.follow import Progress
from containers.progress import Standing, advance, clock, fraction, line, remaining_seconds
from containers.terminal import Lines, Voice, display

START = {"event": "start", "run": "r", "rounds": 4, "trials": 2, "steps": 80}


def after(*events):
    standing = Standing("s/t/split/0")
    for event in events:
        standing = advance(standing, event)
    return standing


def test_events_add_up():
    standing = after(
        START, {"event": "step", "step": 7}, {"event": "round", "trial": 1, "round": 1, "step": 60}
    )
    assert (standing.trial, standing.round, standing.step, standing.loss) == (1, 2, 60, None)
    assert fraction(standing) == 0.75
    assert remaining_seconds(standing, 30) == pytest.approx(10)
    assert fraction(advance(standing, {"event": "done", "seconds": 3})) == 1


def test_a_line_says_all_of_it():
    standing = after(START, {"event": "round", "trial": 1, "round": 1, "step": 60, "validation_loss": 0.25})
    assert line(standing, 90) == (
        "s/t/split/0: trial 2/2, round 2/4, step 60/80, validation loss 0.2500 (1:30, 0:30 left)"
    )
    assert line(after(), 0) == "s/t/split/0: started (0:00)"
    assert clock(3725) == "1:02:05"


def test_a_note_is_said_and_logged_under_the_runs_name(tmp_path, capsys):
    voice = Voice(tmp_path / "log")
    progress = Progress("s/t/agree/0", Lines(voice.say), voice)
    progress.receive({"event": "note", "text": "3 at north"})
    assert capsys.readouterr().err == (tmp_path / "log").read_text() == "s/t/agree/0: 3 at north\n"
    assert progress.standing == Standing("s/t/agree/0")


def test_without_steps_rounds_tell_how_far_it_is():
    standing = after({"event": "start", "rounds": 4, "trials": 2}, {"event": "round", "trial": 1, "round": 0})
    assert fraction(standing) == 5 / 8
    assert fraction(after()) == 0
    assert remaining_seconds(after(), 10) is None


@pytest.mark.parametrize(
    "event",
    [
        {"event": "new"}, {}, {"event": "step"}, {"event": "step", "step": "7"},
        {"event": "step", "step": -1},
        {"event": "step", "step": True},
        {"event": "start", "rounds": None, "steps": [1]},
    ],
)  # fmt: skip
def test_what_is_not_understood_changes_nothing(event):
    standing = after(START)
    assert advance(standing, event) == standing


@pytest.mark.parametrize("loss", [None, "0.5", float("nan"), float("inf")])
def test_a_loss_that_is_no_number_is_not_shown(loss):
    assert after(START, {"event": "round", "round": 1, "validation_loss": loss}).loss is None


def test_lines_are_at_most_one_a_round_and_one_a_second(monkeypatch):
    now, written = [100.0], []
    monkeypatch.setattr("containers.terminal.time.monotonic", lambda: now[0])
    lines = Lines(written.append)
    standing = after(START)
    for number in range(8):  # eight rounds of 0.4 s, shown three times each
        now[0] += 0.4
        standing = advance(standing, {"event": "round", "trial": 0, "round": number, "step": number})
        for _ in range(3):
            lines.show(standing)
    rounds = [text.split("round ")[1].split("/")[0] for text in written]
    assert rounds == ["1", "4", "7"]
    now[0] += 31
    lines.show(standing)
    lines.show(standing)
    assert len(written) == 4  # a long round says where it is


@contextmanager
def on_a_terminal(monkeypatch):
    """Put a terminal in standard error's place; gives the reading end, which never waits."""
    reading, writing = pty.openpty()
    os.set_blocking(reading, False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with os.fdopen(writing, "w") as stream, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", stream)
        yield reading
    os.close(reading)


def read_until(terminal, wanted):
    """Read what was drawn; the kernel hands it over a little later than it was written."""
    text = ""
    while wanted not in text and select.select([terminal], [], [], 30)[0]:
        text += os.read(terminal, 65536).decode()
    return text


def test_a_terminal_gets_a_bar_and_the_log_gets_lines(monkeypatch, tmp_path):
    voice = Voice(tmp_path / "logs" / "run.log")
    third = {"event": "round", "trial": 0, "round": 2, "step": 33, "validation_loss": 0.5}
    with on_a_terminal(monkeypatch) as terminal, display(voice) as shown:
        shown.show(after(START, third))
        voice.say("a line beside the bar")
        text = read_until(terminal, "a line beside the bar")
    assert "s/t/split/0" in text
    assert "round 3/4, step 33/80" in text
    log = (tmp_path / "logs" / "run.log").read_text().splitlines()
    assert log[0].startswith("s/t/split/0: trial 1/2, round 3/4, step 33/80, validation loss 0.5000")
    assert log[1] == "a line beside the bar"


def test_a_second_gang_on_the_same_terminal_writes_lines(monkeypatch):
    with on_a_terminal(monkeypatch):
        other = os.open(os.ttyname(sys.stderr.fileno()), os.O_RDWR | os.O_NOCTTY)
        fcntl.flock(other, fcntl.LOCK_EX)
        with display(Voice()) as shown:
            assert isinstance(shown, Lines)
        os.close(other)
        for _ in range(2):  # the first one gives the terminal back
            with display(Voice()) as shown:
                assert not isinstance(shown, Lines)


def test_nobody_listening_stops_nothing(monkeypatch):
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb", buffering=0) as pipe:
        monkeypatch.setattr(sys, "stderr", TextIOWrapper(pipe, write_through=True))
        Voice().say("into the void")


@pytest.fixture
def events(tmp_path):
    """A pipe, what was received from it, and the log of what was no event."""
    reading, writing = os.pipe()
    received = []
    yield Events(reading, tmp_path / "log.txt", received.append), writing, received, tmp_path / "log.txt"
    os.close(reading)


def test_events_come_line_by_line_however_the_bytes_arrive(events):
    reader, writing, received, _ = events
    os.write(writing, b'{"event": "st')
    assert reader.read()
    os.write(writing, b'ep", "step": 1}\n{"event": "step", "step": 2}\n{"event"')
    assert reader.read()
    assert received == [{"event": "step", "step": 1}, {"event": "step", "step": 2}]
    assert reader.read()  # nothing there yet: it does not wait
    os.close(writing)
    assert not reader.read()


def test_what_is_no_event_is_kept_in_the_log(events):
    reader, writing, received, log = events
    os.write(writing, b'hello\n[1]\n{"a": 1}\n\n{"event": "done"}\nno newline')
    os.close(writing)
    while reader.read():
        pass
    assert received == [{"event": "done"}]
    assert log.read_text().splitlines() == ["hello", "[1]", '{"a": 1}', "no newline"]
