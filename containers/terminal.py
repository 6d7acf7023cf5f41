"""How progress looks: a bar on a terminal, plain lines anywhere else.

Snakemake starts several gangs side by side on one terminal. The first holds a lock on it and draws the
bar; the others write lines that carry their run's name, each on a cleared line, so that nothing interleaves.
"""

import fcntl
import os
import sys
import time
from contextlib import suppress
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

    def close(self) -> None:
        """Leave the terminal as it was."""


def say(text: str) -> None:
    """Write a line for people; nobody may be listening any more, which stops nothing."""
    with suppress(OSError, ValueError):
        print((CLEAR_LINE if sys.stderr.isatty() else "") + text, file=sys.stderr, flush=True)


def display() -> Display:
    """Choose the bar if this launcher is the first on its terminal, and rich is installed."""
    terminal = _own_terminal()
    if terminal is None:
        return Lines()
    try:
        return Bar(terminal)
    except ImportError:
        os.close(terminal)
        return Lines()


class Lines:
    """A line for each round, but not more than one a second."""

    def __init__(self) -> None:
        """Count time from now."""
        self._began = time.monotonic()
        self._said = (self._began, -1)

    def show(self, standing: Standing) -> None:
        """Say a finished round, or in a long round the steps."""
        now, rounds = time.monotonic(), standing.trial * standing.rounds + standing.round
        since, before = now - self._said[0], self._said[1]
        finished = rounds > 0 and rounds != before and (since >= LINE_SECONDS or before < 0)
        if not standing.done and (finished or since >= QUIET_SECONDS):
            say(line(standing, now - self._began))
            self._said = (now, rounds)

    def close(self) -> None:
        """Lines need no end."""


class Bar:
    """One line that is drawn again and again."""

    def __init__(self, terminal: int) -> None:
        """Draw on standard error; ``terminal`` is the descriptor with the lock."""
        self._began = time.monotonic()
        self._drawn = 0.0
        self._terminal = terminal
        self._progress = _progress_bar()
        self._task = self._progress.add_task("", total=1.0, where="starting")
        self._progress.start()

    def show(self, standing: Standing) -> None:
        """Draw, at most five times a second."""
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
        """Remove the bar and let another gang have the terminal."""
        with suppress(OSError):
            self._progress.stop()
        os.close(self._terminal)


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
