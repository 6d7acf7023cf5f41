"""A run's real processes over TCP, and peers that keep to none of its rules."""

import json
import random
import socket
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from coordinator.errors import ProtocolError
from coordinator.protocol.codec import Frames
from coordinator.protocol.dealer import Dealer
from coordinator.protocol.keys import COORDINATOR, read_manifest, read_secret
from coordinator.protocol.line import Line
from coordinator.protocol.messages import Hello, Message, Refused, Welcome
from coordinator.specs import Run, read, run_digest
from tests.containers.gangs import wait_for
from tests.e2e.tiny_study import command, environment

SITES = ("north", "south")
LIMIT = 1 << 26


class Federation:
    """A coordinator and its sites, each started by hand with keys and a state folder of its own."""

    def __init__(self, folder: Path, place: Path, spec: str, statistics: Path) -> None:
        """Make keys; start nobody."""
        self.folder, self.place, self.spec = folder, place, folder / spec
        self.given = ("--spec", spec, "--statistics", statistics)
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.endpoint = ""
        self.shapes: list[tuple[int, ...]] = []  # of what an honest site sends, and how many it validates
        self.validation = 0
        (place / "keys").mkdir(parents=True, mode=0o700)
        words = command("coordinator", "keys", "--out", place / "keys", COORDINATOR, *SITES)
        subprocess.run(words, cwd=folder, env=environment(folder), check=True)
        self.manifest = read_manifest(place / "keys" / "manifest.json")

    def secret(self, site: str) -> bytes:
        """Give a site's CURVE key."""
        return read_secret(self.place / "keys" / f"{site}.secret").curve

    @property
    def port(self) -> int:
        """Give the port at which the coordinator listens."""
        return int(self.endpoint.rpartition(":")[2])

    def start(
        self, party: str, endpoint: str = "", within: Sequence[str] = (), host: str = "127.0.0.1"
    ) -> None:
        """Start a party; ``within`` begins its command line, ``host`` is where a coordinator listens."""
        state = self.place / party
        state.mkdir(mode=0o700)
        own = ("--secret", self.place / "keys" / f"{party}.secret", "--state", state)
        own += ("--manifest", self.place / "keys" / "manifest.json")
        if party in SITES:
            which = ("sites", "join", "--site", party, "--endpoint", endpoint or self.endpoint)
        else:
            which = ("coordinator", "serve", "--endpoint", f"tcp://{host}:0")
        with (self.place / f"{party}.txt").open("ab") as log:
            self.running[party] = subprocess.Popen(
                [*within, *command(*which, *self.given, *own)], cwd=self.folder, env=environment(self.folder),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        if party == COORDINATOR:
            wait_for((state / "endpoint").exists)
            self.endpoint = (state / "endpoint").read_text()

    def log(self, party: str) -> str:
        """Give what a party said."""
        return (self.place / f"{party}.txt").read_text()

    def ended_well(self, seconds: float = 120) -> Path:
        """Wait for everybody's end; give the coordinator's results."""
        wait_for(lambda: all(each.poll() is not None for each in self.running.values()), seconds)
        codes = {party: each.returncode for party, each in self.running.items()}
        assert not any(codes.values()), {party: self.log(party)[-2000:] for party in codes}
        return self.place / COORDINATOR / "out"

    def close(self) -> None:
        """Leave nothing behind."""
        for each in self.running.values():
            each.kill()
            each.wait()

    def resident(self, what: str = "VmRSS") -> int:
        """Give the coordinator's memory in MiB: what it has now, or at most had (VmHWM)."""
        status = Path(f"/proc/{self.running[COORDINATOR].pid}/status").read_text()
        (line,) = [line for line in status.splitlines() if line.startswith(what)]
        return int(line.split()[1]) // 1024


class Session:
    """A conversation in a site's name with its right key: what it says is up to the test."""

    def __init__(self, federation: Federation, site: str, secret: bytes = b"", public: bytes = b"") -> None:
        """Connect; with another key than the site's if one is given."""
        manifest, self.site = federation.manifest, site
        secret, public = secret or federation.secret(site), public or manifest[site].curve
        self.dealer = Dealer(federation.endpoint, manifest[COORDINATOR].curve, secret, public)
        self.line = Line(COORDINATOR, sends="up", limit=LIMIT, ahead=LIMIT)
        self.digest = run_digest(read(Run, federation.spec))

    def enter(self, name: str = "") -> Welcome:
        """Say Hello and wait to be let in."""
        self.say(Hello(name or self.site, self.digest, 0))
        heard = self.hear()
        assert isinstance(heard, Welcome), heard
        return heard

    def say(self, message: Message) -> None:
        """Say something in its place."""
        for frames in self.line.frames(message):
            self.dealer.send(frames)

    def raw(self, frames: Frames) -> None:
        """Say anything."""
        self.dealer.send(frames)

    def hear(self, seconds: float = 30) -> Message | None:
        """Give the next message, or None where none comes or the connection is cut."""
        give_up = time.monotonic() + seconds
        while not self.line.waiting():
            if time.monotonic() > give_up or self.dealer.connections_lost:
                return None
            if frames := self.dealer.receive(0.1):
                self.line.accept(frames)
        return self.line.hear()

    def is_shut_out(self) -> bool:
        """Say whether the next that is heard, beside what was on its way, is a refusal or the end."""
        with suppress(ProtocolError):
            while (heard := self.hear()) is not None:
                if isinstance(heard, Refused):
                    return True
        return bool(self.dealer.connections_lost or self.dealer.refusals)

    def close(self) -> None:
        """Leave without a word."""
        self.dealer._context.destroy(linger=0)


@contextmanager
def session(federation, site, **keys):
    """Hold a conversation, and leave it."""
    found = Session(federation, site, **keys)
    try:
        yield found
    finally:
        found.close()


def connected(port: int, count: int) -> list[socket.socket]:
    """Open that many connections at once and say nothing, not even whether they came about."""
    found = [socket.socket() for _ in range(count)]
    for each in found:
        each.setblocking(False)
        each.connect_ex(("127.0.0.1", port))
    return found


def came_about(plain: socket.socket) -> bool:
    """Say whether a connection was taken up: ZeroMQ greets at once, the queue before it has an end."""
    try:
        plain.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def hung_up(plain: socket.socket, seconds: float = 20) -> bool:
    """Say whether the other side ends a connection in this time, whatever it said before; close it then."""
    plain.settimeout(seconds)
    try:
        while plain.recv(4096):
            pass
    except (TimeoutError, BlockingIOError):
        return False
    except OSError:
        pass
    plain.close()
    return True


def junk(port: int) -> None:
    """Speak no ZeroMQ at all."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5) as plain:
        plain.sendall(random.Random(0).randbytes(1 << 20))


def slow_loris(port: int, seconds: float) -> bool:
    """Send a handshake's first byte and then one a second; say whether one was shut out meanwhile."""
    plain = socket.create_connection(("127.0.0.1", port), timeout=5)
    give_up = time.monotonic() + seconds
    with plain, suppress(TimeoutError):
        plain.settimeout(1)
        while time.monotonic() < give_up:
            try:
                plain.sendall(b"\xff")
                while plain.recv(4096):
                    pass
                return True
            except TimeoutError:
                continue
            except OSError:
                return True
    return False


class Tape:
    """Passes one connection on and keeps what went up: a handshake that can be replayed."""

    def __init__(self, port: int) -> None:
        """Listen."""
        self.up, self._port = bytearray(), port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._pass_on, daemon=True).start()

    def replay(self) -> bytes:
        """Say the same again; give what was answered until the other side hung up."""
        heard = b""
        with socket.create_connection(("127.0.0.1", self._port), timeout=20) as plain, suppress(OSError):
            plain.sendall(bytes(self.up[:4096]))
            while content := plain.recv(4096):
                heard += content
        return heard

    def _pass_on(self) -> None:
        near, _ = self._listener.accept()
        far = socket.create_connection(("127.0.0.1", self._port))
        threading.Thread(target=self._copy, args=(far, near, None), daemon=True).start()
        self._copy(near, far, self.up)

    @staticmethod
    def _copy(source: socket.socket, sink: socket.socket, tape: bytearray | None) -> None:
        with suppress(OSError):
            while content := source.recv(1 << 16):
                if tape is not None and len(tape) < 1 << 16:
                    tape += content
                sink.sendall(content)
        for each in (source, sink):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


def seconds_per_round(out: Path) -> list[float]:
    """Give how long each round took, from a run's history."""
    rows = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
    ends = [row["seconds"] for row in rows if row["site"] == "all"]
    return [after - before for before, after in zip([0.0, *ends], ends, strict=False)]
