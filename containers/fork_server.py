"""Parties that are forked: several share one start.

Importing torch takes longer than a small run trains. So a program is started once, imports what a party
needs, and becomes each party by a fork: a process of its own, with its own session, lifeline and log. Where
no wall stands between parties one such server serves a gang; within walls a study keeps one for each party
(``fork_servers``).
"""

import json
import os
import secrets
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO

from containers.errors import ConfigError
from containers.member import Member

LONGEST_STATUS = 16
ENDING_SECONDS = 1.0


@dataclass
class Forked:
    """A process that a fork server started and watches; ``told`` is a pipe that says how it ended."""

    name: str
    told: int
    link: socket.socket
    stdout: IO[bytes] | None
    last_words: Callable[[], str]
    _status: int | None = field(default=None, init=False)

    def fileno(self) -> int:
        """Give the pipe, whose other end the server holds."""
        return self.told

    def status(self) -> int | None:
        """Read how it ended; with a server that ended it was killed, or never started."""
        if self._status is None:
            with suppress(BlockingIOError):
                found = os.read(self.told, LONGEST_STATUS)
                self._status = int(found or (1 if self.last_words() else -signal.SIGKILL))
        return self._status

    def send(self, number: signal.Signals) -> None:
        """Ask the server, whose child it is."""
        with suppress(OSError):
            self.link.send(json.dumps({"signal": int(number), "of": self.name}).encode())

    def release(self) -> None:
        """Close the pipe; the server has reaped it."""
        os.close(self.told)


def fork(
    link: socket.socket, party: str, program: Sequence[str], log: Path, *, keep: int, piped: bool,
    last_words: Callable[[Path], str] = lambda _: "",
) -> Member:  # fmt: skip
    """Let a server become a party; ``program`` is a package and the arguments it is run with.

    ``keep`` is a descriptor that the party holds; ``piped`` gives its output to this process, not the log.
    ``last_words`` writes into the log why the server itself could not go on, and gives it.

    Raises:
        OSError: nobody is at the link's other end.
    """
    name = secrets.token_hex(8)
    line, told, output = os.pipe(), os.pipe(), os.pipe() if piped else None
    os.set_blocking(told[0], False)
    asked = json.dumps({"start": name, "party": party, "program": list(program)}).encode()
    with log.open("ab") as sink:
        given = [line[0], output[1] if output else sink.fileno(), sink.fileno(), told[1], keep]
        try:
            socket.send_fds(link, [asked], given)
        except OSError:
            for descriptor in (line[1], told[0], *(output[:1] if output else ())):
                os.close(descriptor)
            raise
        finally:
            for descriptor in (line[0], told[1], *(output[1:] if output else ())):
                os.close(descriptor)
    said = os.fdopen(output[0], "rb") if output else None
    return Member(party, Forked(name, told[0], link, said, lambda: last_words(log)), line[1], log)


class ForkServer:
    """A gang's own server; a context that leaves none behind."""

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str], log: Path, *, keep: int) -> None:
        """Start it; every party holds ``keep``.

        Raises:
            ConfigError: the program cannot be started.
        """
        self._log, self._keep = log, keep
        self._link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with log.open("ab") as sink:
                self._process = subprocess.Popen(
                    [*argv, "--link", str(theirs.fileno())], env=dict(environment), stdin=subprocess.DEVNULL,
                    stdout=sink, stderr=sink, start_new_session=True, pass_fds=(theirs.fileno(),),
                )  # fmt: skip
        except OSError as error:
            self._link.close()
            raise ConfigError(f"{argv[0]}: cannot be started ({error.strerror}); check it") from None
        finally:
            theirs.close()

    def __enter__(self) -> "ForkServer":
        """Leave nothing to do: it was started when it was made."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the server: nobody is left when its gang has ended."""
        self._link.close()
        try:
            self._process.wait(ENDING_SECONDS)
        except subprocess.TimeoutExpired:  # it is still importing, and would not see the end yet
            self._process.kill()
            self._process.wait()

    def start(self, party: str, program: Sequence[str], log: Path, *, piped: bool) -> Member:
        """Let it become a party.

        Raises:
            ConfigError: the server ended.
        """
        try:
            return fork(
                self._link, party, program, log, keep=self._keep, piped=piped, last_words=self._last_words
            )
        except OSError:
            words = self._last_words(log) or "it said nothing"
            raise ConfigError(f"the parties' program ended before it could start them: {words}") from None

    def _last_words(self, log: Path) -> str:
        """Say why the server failed, in the party's log as well; nothing where it was killed."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(ENDING_SECONDS)
        if (self._process.returncode or 0) <= 0:
            return ""
        words = self._log.read_text(encoding="utf-8", errors="replace").strip() or "it said nothing"
        with log.open("a", encoding="utf-8") as file:
            file.write(f"{words}\n")
        return words.splitlines()[-1]
