"""One started party: its process group, its lifeline, and its end, seen but not yet reaped."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Protocol

from containers.errors import ConfigError


class Process(Protocol):
    """What is needed of a started process."""

    @property
    def stdout(self) -> IO[bytes] | None:
        """What it says, if that is read here."""

    def fileno(self) -> int:
        """Give a descriptor that turns readable when it ends."""

    def status(self) -> int | None:
        """Say how it ended, negative for a signal; nothing while it lives."""

    def send(self, number: signal.Signals) -> None:
        """Signal it and what it started."""

    def release(self) -> None:
        """Give back what was held of it, once it has ended."""


class Child:
    """A process that this one started, seen at its end but not reaped before its release.

    So its number and its group's stay its own for as long as they may be signalled.
    """

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        """Hold on to it by more than its number."""
        self._process, self._pidfd = process, os.pidfd_open(process.pid)
        self.pid, self.stdout = process.pid, process.stdout

    def fileno(self) -> int:
        """Give its pidfd."""
        return self._pidfd

    def status(self) -> int | None:
        """Look without reaping."""
        found = os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if found is None:
            return None
        return found.si_status if found.si_code == os.CLD_EXITED else -found.si_status

    def send(self, number: signal.Signals) -> None:
        """Signal its group."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def release(self) -> None:
        """Reap it."""
        self._process.wait()
        os.close(self._pidfd)


@dataclass
class Member:
    """A party's process; ``status`` is negative for a signal, ``ended`` by the monotonic clock."""

    party: str
    process: Process
    lifeline: int
    log: Path
    ended: float | None = None
    status: int = 0
    asked_to_leave: bool = False
    ended_by_us: bool = False
    released: bool = False
    sent: set[int] = field(default_factory=set)


def start(
    party: str, argv: Sequence[str], environment: Mapping[str, str], log: Path, *, keep: int, piped: bool
) -> Member:
    """Start a party in a session of its own; its standard input ends when this launcher does.

    Python's pipes are close-on-exec, so no sibling inherits the write end and keeps the line open.
    ``keep`` is a descriptor the party inherits; ``piped`` gives its output to the launcher, not the log.

    Raises:
        ConfigError: the program cannot be started.
    """
    reading, writing = os.pipe()
    try:
        with log.open("ab") as sink:
            process = subprocess.Popen(
                argv, env=dict(environment), stdin=reading, stdout=subprocess.PIPE if piped else sink,
                stderr=sink, start_new_session=True, pass_fds=(keep,),
            )  # fmt: skip
    except OSError as error:
        os.close(writing)
        raise ConfigError(
            f"{party}: {argv[0]} cannot be started ({error.strerror}); check the environment"
        ) from None
    finally:
        os.close(reading)
    return Member(party, Child(process), writing, log)


def note_end(member: Member) -> None:
    """Record how a party ended, if it did."""
    found = member.process.status()
    if found is not None and member.ended is None:
        member.ended, member.status = time.monotonic(), found
        # settled now: what is sent later, to sweep its group, did not cause this end
        member.ended_by_us = member.asked_to_leave and (found >= 0 or -found in member.sent)


def ask_to_leave(member: Member) -> None:
    """Close the lifeline: the party sees end of file, commits and leaves."""
    if not member.asked_to_leave:
        member.asked_to_leave = True
        os.close(member.lifeline)


def send(member: Member, number: signal.Signals) -> None:
    """Signal the party and what it started, once."""
    if number not in member.sent:
        member.sent.add(number)
        member.process.send(number)


def reap(member: Member) -> None:
    """End what the party left in its group, then release it; once is enough."""
    if member.released:
        return
    ask_to_leave(member)
    send(member, signal.SIGKILL)
    member.process.release()
    member.released = True
    if member.process.stdout:
        member.process.stdout.close()
