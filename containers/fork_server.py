"""The sites' fork server: where no runtime's wall stands between parties, they share one start.

Importing torch takes longer than a small run trains. So the sites' program is started once, imports what a
site needs, and becomes each site by a fork: a process of its own, with its own session, lifeline and log.
"""

import json
import os
import socket
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from containers.errors import ConfigError
from containers.lifetime import adopt_orphans
from containers.member import Member
from containers.watch import Watch

ANSWER_SECONDS = 30.0
LOOK_SECONDS = 0.05


@dataclass(frozen=True)
class Forked:
    """A process that the server forked and the kernel gave to this launcher."""

    pid: int
    stdout: None = None

    def wait(self) -> None:
        """Release its pid."""
        os.waitpid(self.pid, 0)


class ForkServer:
    """A started server; a context that leaves none behind."""

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str], log: Path, *, keep: int) -> None:
        """Start it; every site inherits ``keep``.

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
            raise ConfigError(
                f"the sites: {argv[0]} cannot be started ({error.strerror}); check the environment"
            ) from None
        finally:
            theirs.close()

    def __enter__(self) -> "ForkServer":
        """Leave nothing to do: it was started when it was made."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the server; the sites go on."""
        self._link.close()
        try:
            self._process.wait(1.0)
        except subprocess.TimeoutExpired:  # it is still importing, and would not see the end yet
            self._process.kill()
            self._process.wait()

    def ready(self, watch: Watch) -> bool:
        """Wait until all is imported; false if the gang ends before.

        Raises:
            ConfigError: the server ended.
        """
        self._link.setblocking(False)
        while watch.alive() and not watch.stopped_by:
            with suppress(BlockingIOError):
                self._answer()
                self._link.settimeout(ANSWER_SECONDS)
                return True
            watch.step(LOOK_SECONDS)
        return False

    def start(self, party: str, arguments: Sequence[str], log: Path) -> Member:
        """Let it become a site; ``arguments`` follow the program's name.

        Raises:
            ConfigError: the server ended, or does not answer.
        """
        reading, writing = os.pipe()
        try:
            with log.open("ab") as sink:
                asked = json.dumps(list(arguments)).encode()
                socket.send_fds(self._link, [asked], [reading, sink.fileno()])
            pid = int(self._answer())
        except OSError as error:
            os.close(writing)
            raise ConfigError(f"{party}: the sites' fork server does not answer ({error})") from None
        finally:
            os.close(reading)
        return Member(party, Forked(pid), os.pidfd_open(pid), writing, log)

    def _answer(self) -> bytes:
        answer = self._link.recv(64)
        if not answer:
            words = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            raise ConfigError(
                f"the sites' program ended before it could start them: {(words or ['it said nothing'])[-1]}"
            )
        return answer
