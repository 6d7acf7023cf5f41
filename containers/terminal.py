"""How progress looks: a bar on a terminal, plain lines anywhere else.

Snakemake starts several gangs side by side on one terminal. The first holds a lock on it and draws the
bar; the others write lines that carry their run's name, each on a cleared line.
"""

import fcntl
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from containers.progress import Standing, clock, fraction, line, remaining_seconds, where

if TYPE_CHECKING:
    from rich.progress import Progress

LINE_SECONDS = 1.0  # at most one line in this time
DRAW_SECONDS = 0.2
QUIET_SECONDS = 30.0  # a long round says where it is this often
CLEAR_LINE = "\r\x1b[K"


class Display(Protocol):
    """Shows where a run stands until it is closed."""

    def show(self, standing: Standing) -> None:
        """Show the present standing; called often."""


class Voice:
    """Says lines on standard error and, where asked, writes them to a log as well."""

    def __init__(self, log: Path | None = None) -> None:
        """Begin a new log."""
        self._log = log
        if log:
            log.parent.mkdir(parents=True, exist_ok=True)
            log.write_text("", encoding="utf-8")

    def say(self, text: str) -> None:
        """Say something to people; nobody may be listening any more, which stops nothing."""
        self.note(text)
        with suppress(OSError, ValueError):
            print((CLEAR_LINE if sys.stderr.isatty() else "") + text, file=sys.stderr, flush=True)

    def note(self, text: str) -> None:
        """Write to the log alone."""
        if self._log:
            with suppress(OSError), self._log.open("a", encoding="utf-8") as log:
                log.write(text + "\n")


@contextmanager
def display(voice: Voice) -> Iterator[Display]:
    """Show the bar if this launcher is the first on its terminal and rich is installed, lines otherwise."""
    terminal = _own_terminal() if find_spec("rich") else None
    if terminal is None:
        yield Lines(voice.say)
        return
    bar = Bar(Lines(voice.note))
    try:
        yield bar
    finally:
        bar.close()
        os.close(terminal)


class Lines:
    """A line for each round, but not more than one a second; in a long round, one now and then."""

    def __init__(self, write: Callable[[str], None]) -> None:
        """Count time from now."""
        self._write = write
        self._began = time.monotonic()
        self._said = (self._began, 0)

    def show(self, standing: Standing) -> None:
        """Write a line if there is something new to say."""
        now, rounds = time.monotonic(), standing.trial * standing.rounds + standing.round
        since, before = now - self._said[0], self._said[1]
        if since >= QUIET_SECONDS or (rounds > before and (since >= LINE_SECONDS or before == 0)):
            self._write(line(standing, now - self._began))
            self._said = (now, rounds)


class Bar:
    """One line that is drawn again and again."""

    def __init__(self, log: Lines) -> None:
        """Draw on standard error; ``log`` gets its lines as if there were no terminal."""
        self._began, self._drawn, self._log = time.monotonic(), 0.0, log
        self._progress = _progress_bar()
        self._task = self._progress.add_task("", total=1.0, where="starting")
        self._progress.start()

    def show(self, standing: Standing) -> None:
        """Draw, at most five times a second."""
        self._log.show(standing)
        now = time.monotonic()
        if now - self._drawn >= DRAW_SECONDS:
            self._drawn = now
            left = remaining_seconds(standing, now - self._began)
            times = clock(now - self._began) + (f", {clock(left)} left" if left else "")
            text = f"{where(standing)} ({times})"
            self._progress.update(
                self._task, description=standing.run, completed=fraction(standing), where=text
            )
            with suppress(OSError):
                self._progress.refresh()

    def close(self) -> None:
        """Remove the bar."""
        with suppress(OSError):
            self._progress.stop()


def _progress_bar() -> "Progress":
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(bar_width=20), TextColumn("{task.fields[where]}"))
    return Progress(
        *columns,
        console=Console(stderr=True),
        auto_refresh=False,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )


def _own_terminal() -> int | None:
    """Lock the terminal of standard error; None if there is none or another gang draws on it."""
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        return None
    try:
        terminal = os.open(os.ttyname(sys.stderr.fileno()), os.O_RDWR | os.O_NOCTTY)
    except OSError:
        return None
    try:
        fcntl.flock(terminal, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(terminal)
        return None
    return terminal
