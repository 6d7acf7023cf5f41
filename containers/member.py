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
    def pid(self) -> int:
        """Its number, which is its group's too."""

    @property
    def stdout(self) -> IO[bytes] | None:
        """What it says, if that is read here."""

    def wait(self) -> object:
        """Release its number once it has ended."""


@dataclass
class Member:
    """A party's process; ``status`` is negative for a signal, ``ended`` by the monotonic clock."""

    party: str
    process: Process
    pidfd: int
    lifeline: int
    log: Path
    ended: float | None = None
    status: int = 0
    asked_to_leave: bool = False
    ended_by_us: bool = False
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
    return member(party, process, writing, log)


def member(party: str, process: Process, lifeline: int, log: Path) -> Member:
    """Take a started process for a party, and hold on to it by more than its number."""
    return Member(party, process, os.pidfd_open(process.pid), lifeline, log)


def note_end(member: Member) -> None:
    """Record how a party ended without reaping it, so that its pid and group stay its own."""
    found = os.waitid(os.P_PIDFD, member.pidfd, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    if found is not None and member.ended is None:
        member.ended = time.monotonic()
        member.status = found.si_status if found.si_code == os.CLD_EXITED else -found.si_status
        # settled now: what is sent later, to sweep its group, did not cause this end
        member.ended_by_us = member.asked_to_leave and (member.status >= 0 or -member.status in member.sent)


def ask_to_leave(member: Member) -> None:
    """Close the lifeline: the party sees end of file, commits and leaves."""
    if not member.asked_to_leave:
        member.asked_to_leave = True
        os.close(member.lifeline)


def send(member: Member, number: signal.Signals) -> None:
    """Signal the party and what it started, once."""
    if number not in member.sent:
        member.sent.add(number)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(member.process.pid, number)


def reap(member: Member) -> None:
    """End what the party left in its group, then release its pid; once is enough."""
    if member.pidfd < 0:
        return
    ask_to_leave(member)
    send(member, signal.SIGKILL)
    member.process.wait()
    os.close(member.pidfd)
    member.pidfd = -1
    if member.process.stdout:
        member.process.stdout.close()
