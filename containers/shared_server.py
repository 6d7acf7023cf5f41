"""A fork server within its walls, as who started it sees it: asked over a socket, it tells of each end."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

LINK = "link"
LONGEST, LONGEST_END, GIVEN = 1 << 16, 100, 5
KILLED = 128  # above it a shell's status names a signal


@dataclass(frozen=True)
class Living:
    """A party that has not ended, as far as is known: where its end is told, and its log."""

    status: int
    log: int


class SharedServer:
    """A started server; a launcher's questions wait until it is there."""

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str], place: Path) -> None:
        """Start it; it is to connect to the socket in ``place``.

        Raises:
            OSError: the program cannot be started.
        """
        self._log = place / "log.txt"
        self.listening = listen(place / LINK)
        with self._log.open("ab") as sink:
            self._process = subprocess.Popen(
                argv, env=dict(environment), stdin=subprocess.PIPE, stdout=sink, stderr=sink,
                start_new_session=True,
            )  # fmt: skip
        self.ended = os.pidfd_open(self._process.pid)
        self.link: socket.socket | None = None
        self.dismissed = False
        self._waiting: dict[str, tuple[bytes, list[int]]] = {}
        self._killed: dict[str, float] = {}
        self._living: dict[str, Living] = {}
        self._used = time.monotonic()

    def accept(self) -> socket.socket:
        """Take the server's call, and ask what has waited for it."""
        self.link, _ = self.listening.accept()
        self.listening.close()
        for name, (asked, given) in self._waiting.items():
            self._pass_on(self.link, name, asked, given)
        self._waiting.clear()
        return self.link

    def ask(self, name: str, asked: bytes, given: list[int]) -> None:
        """Pass a question for a party on, with its descriptors, which are closed here."""
        self._living[name] = Living(os.dup(given[3]), os.dup(given[2]))
        if self.link:
            self._pass_on(self.link, name, asked, given)
        else:
            self._waiting[name] = asked, given

    def _pass_on(self, link: socket.socket, name: str, asked: bytes, given: list[int]) -> None:
        try:
            socket.send_fds(link, [asked], given)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it has ended, which is said of its parties when it is released
        except OSError as error:
            tell(given[3], given[2], f"its fork server cannot be asked: {error}")
            self._let_go(name)
        finally:
            close(given)

    def signal(self, name: str, number: int, asked: bytes) -> None:
        """Pass a signal for one of its parties on; who is to be killed before it was asked for never is."""
        if name not in self._living:
            return
        if self.link:
            with suppress(OSError):
                self.link.send(asked)
        if number == signal.SIGKILL:
            self._killed[name] = time.monotonic()
            if name in self._waiting:
                close(self._waiting.pop(name)[1])
                self._let_go(name)

    def insist(self, seconds: float) -> None:
        """Kill a server, with all its parties, that has not killed one in this time: it is stopped."""
        overdue = [when for name, when in self._killed.items() if name in self._living]
        if overdue and time.monotonic() - min(overdue) > seconds:
            self._kill()

    def _kill(self) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def hear(self) -> bool:
        """Take note of a party's end; false where the server leaves, or says what none of ours would.

        What runs in its walls may not be: it gets no further than its own party.
        """
        assert self.link is not None
        said, given = receive(self.link, LONGEST_END)
        close(given)
        try:
            self._let_go(json.loads(said)["ended"])
        except (ValueError, TypeError, LookupError):
            return False
        self._used = time.monotonic()
        return True

    def is_idle(self, seconds: float) -> bool:
        """Say whether nobody lives or was asked for so long."""
        return not self._living and time.monotonic() - self._used > seconds

    def dismiss(self) -> None:
        """Let it leave once its parties have."""
        self.dismissed = True
        assert self._process.stdin is not None
        self._process.stdin.close()
        if self.link:
            self.link.shutdown(socket.SHUT_RDWR)

    def leave(self, seconds: float) -> None:
        """Wait for its end, for a while, then see to it."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(max(0.0, seconds) if self.link else 0.0)
        self.release()

    def release(self) -> None:
        """Reap it with all it started, and tell who waits for one of its parties."""
        self._kill()
        words = self._words(self._process.wait())
        for name, living in [*self._living.items()]:
            if words:
                tell(living.status, living.log, f"the fork server failed: {words}")
            self._let_go(name)
        for _, given in self._waiting.values():
            close(given)
        for source in (self.listening, self.link, self._process.stdin):
            if source:
                source.close()
        os.close(self.ended)

    def _words(self, status: int) -> str:
        """Give why it failed; nothing where it was killed, as its parties were, or left."""
        if not 0 < status <= KILLED:
            return ""
        return self._log.read_text(encoding="utf-8", errors="replace").strip() or f"exit status {status}"

    def _let_go(self, name: str) -> None:
        living = self._living.pop(name)
        self._killed.pop(name, None)
        close((living.status, living.log))


def tell(status: int, log: int, words: str) -> None:
    """Say in a party's log why it could not be started, and end it as one that failed."""
    with suppress(OSError):  # its launcher is gone, or the disk is full
        os.write(log, f"{words}\n".encode())
    with suppress(OSError):
        os.write(status, b"1")


def listen(path: Path) -> socket.socket:
    """Listen at a path for who sends whole messages, and descriptors with them."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listening.bind(str(path))
    listening.listen()
    return listening


def receive(link: socket.socket, longest: int = LONGEST) -> tuple[bytes, list[int]]:
    """Receive one message, cut off where it is too long, and its descriptors; nothing at the link's end."""
    try:
        asked, given, _, _ = socket.recv_fds(link, longest, GIVEN)
    except ConnectionResetError:
        return b"", []
    return asked, given


def close(descriptors: Iterable[int]) -> None:
    """Close each."""
    for descriptor in descriptors:
        os.close(descriptor)
