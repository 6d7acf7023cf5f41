"""The fork server: where no runtime's wall stands between parties, they share one start.

Importing torch takes longer than a small run trains. So one program is started once, imports what a party
needs, and becomes each party by a fork: a process of its own, with its own session, lifeline and log.
"""

import json
import os
import socket
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO

from containers.errors import ConfigError
from containers.lifetime import adopt_orphans
from containers.member import Member, member
from containers.watch import Watch

LOOK_SECONDS = 0.05


@dataclass(frozen=True)
class Forked:
    """A process that the server forked and the kernel gave to this launcher."""

    pid: int
    stdout: IO[bytes] | None

    def wait(self) -> None:
        """Release its number once it has ended."""
        os.waitpid(self.pid, 0)


class ForkServer:
    """A started server; a context that leaves none behind."""

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str], log: Path, *, keep: int) -> None:
        """Start it; every party inherits ``keep``.

        Raises:
            ConfigError: the program cannot be started.
        """
        adopt_orphans()
        self._log = log
        self._link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with log.open("ab") as sink:
                self._process = subprocess.Popen(
                    [*argv, "--link", str(theirs.fileno())], env=dict(environment), stdin=subprocess.DEVNULL,
                    stdout=sink, stderr=sink, start_new_session=True, pass_fds=(keep, theirs.fileno()),
                )  # fmt: skip
        except OSError as error:
            self._link.close()
            raise ConfigError(f"{argv[0]}: cannot be started ({error.strerror}); check it") from None
        finally:
            theirs.close()
        self._link.setblocking(False)
        self._unheard = 0

    def __enter__(self) -> "ForkServer":
        """Leave nothing to do: it was started when it was made."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the server; the parties go on."""
        self._link.close()
        try:
            self._process.wait(1.0)
        except subprocess.TimeoutExpired:  # it is still importing, and would not see the end yet
            self._process.kill()
            self._process.wait()

    def start(
        self, party: str, program: Sequence[str], log: Path, watch: Watch, *, piped: bool
    ) -> Member | None:
        """Let it become a party; ``program`` is a package and the arguments it is run with.

        None where the gang ends before: a signal, or another party's end.

        Raises:
            ConfigError: the server ended.
        """
        line, output = os.pipe(), os.pipe() if piped else None
        with log.open("ab") as sink:
            given = [line[0], output[1] if output else sink.fileno(), sink.fileno()]
            pid = self._asked(json.dumps(list(program)).encode(), given, watch)
        os.close(line[0])
        if output:
            os.close(output[1])
        if pid is None:
            os.close(line[1])
            return None
        return member(party, Forked(pid, os.fdopen(output[0], "rb") if output else None), line[1], log)

    def _asked(self, asked: bytes, descriptors: list[int], watch: Watch) -> int | None:
        try:
            socket.send_fds(self._link, [asked], descriptors)
        except OSError:
            raise self._ended() from None
        began = len(watch.alive())
        while not watch.stopped_by and len(watch.alive()) == began:
            try:
                answer = self._link.recv(64)
            except BlockingIOError:
                watch.step(LOOK_SECONDS)
                continue
            except ConnectionResetError:
                answer = b""
            if not answer:
                raise self._ended()
            if not self._unheard:
                return int(answer)
            self._unheard -= 1  # of a party that nobody waited for: its lifeline is closed
        self._unheard += 1
        return None

    def _ended(self) -> ConfigError:
        words = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return ConfigError(
            f"the parties' program ended before it could start them: {(words or ['it said nothing'])[-1]}"
        )
