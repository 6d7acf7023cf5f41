"""The parties of one run as at real hospitals: started by hand, each with its own folder, over TCP."""

import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from tests.chaos.plans import PARTIES, SITES, Fault
from tests.chaos.proxy import Proxy
from tests.containers.gangs import wait_for
from tests.e2e.tiny_study import command, environment

STOPPED_SECONDS = 2.0
FULL_SECONDS = 20.0  # how long a disk stays full that nobody writes to
WAITING_SECONDS = 30.0  # what the others may take to leave once one is done


class Parties:
    """Starts a run's processes, harms them, and starts them again."""

    def __init__(self, folder: Path, place: Path, spec: str, statistics: Path) -> None:
        """Make keys in a folder of this run's own.

        Args:
            folder: the study's, in which specs' paths hold.
            place: of this run: state folders and keys.
            spec: the run's.
            statistics: agreed on.
        """
        self._folder, self.place, self._given = folder, place, ("--spec", spec, "--statistics", statistics)
        self.proxies = {site: Proxy() for site in SITES}
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self._port = 0
        self._seen: dict[str, float] = {}
        self._stays: dict[str, float] = {}  # until when a killed site is not started again
        (place / "keys").mkdir(parents=True, mode=0o700)
        for party in PARTIES:  # each on a small disk of its own, where there are such
            disk = disk_of(folder, party)
            if disk.is_dir():
                (disk / place.name).mkdir(mode=0o700)
                (place / party).symlink_to(disk / place.name)
        words = command("coordinator", "keys", "--out", place / "keys", *PARTIES)
        subprocess.run(words, cwd=folder, env=environment(folder), check=True)

    def start(self, party: str) -> None:
        """Start a party; the coordinator where it listened before, a site by its proxy."""
        self._seen.pop(party, None)
        state = self.place / party
        state.mkdir(exist_ok=True, mode=0o700)
        (state / "exit.json").unlink(missing_ok=True)
        keys = ("--secret", self.place / "keys" / f"{party}.secret")
        keys += ("--manifest", self.place / "keys" / "manifest.json", "--state", state)
        if party in SITES:
            which = ("sites", "join", "--site", party, "--endpoint", self.proxies[party].endpoint)
        else:
            (state / "endpoint").unlink(missing_ok=True)
            which = ("coordinator", "serve", "--endpoint", f"tcp://127.0.0.1:{self._port}")
        with (self.place / f"{party}.txt").open("ab") as log:
            self.running[party] = subprocess.Popen(
                command(*which, *self._given, *keys), cwd=self._folder, env=environment(self._folder),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        if party not in SITES:
            self._find(state / "endpoint")

    def _find(self, published: Path) -> None:
        ended = self.running["coordinator"]
        wait_for(lambda: published.exists() or ended.poll() is not None)
        if published.exists():
            self._port = int(published.read_text().rpartition(":")[2])
            for proxy in self.proxies.values():
                proxy.target = ("127.0.0.1", self._port)

    def harm(self, fault: Fault) -> None:
        """Let one thing go wrong."""
        match fault.kind:
            case "kill":
                self.kill(fault.victim, fault.seconds)
            case "kill_all":
                for party in PARTIES:
                    self.kill(party, fault.seconds if party == fault.site else 0.0)
            case "stop":
                self.running[fault.victim].send_signal(signal.SIGSTOP)
                with_patience(self.running[fault.victim])
            case "fill":
                self._fill(fault.victim)
            case "cut" | "half_close" | "delay":
                getattr(self.proxies[fault.site], fault.kind)()

    def kill(self, party: str, seconds: float = 0.0) -> None:
        """End a party as a power cut would; a site stays so for some seconds."""
        self.running[party].kill()
        self.running[party].wait()
        if party in SITES:
            self._stays[party] = time.monotonic() + seconds

    def _fill(self, party: str) -> None:
        """Fill a party's disk until that has ended it, or it has nothing to write, and make room again."""
        filler = disk_of(self._folder, party) / "filler"
        with filler.open("wb", buffering=0) as file, suppress(OSError):
            for size in (1 << 16, 1 << 9, 1):
                with suppress(OSError):
                    while file.write(bytes(size)):
                        pass
        with suppress(subprocess.TimeoutExpired):
            self.running[party].wait(FULL_SECONDS)
        filler.unlink()

    def ended(self) -> list[str]:
        """Name the parties whose processes have ended."""
        return [party for party, process in self.running.items() if process.poll() is not None]

    def to_start(self) -> list[str]:
        """Name whom an operator starts again: who failed, or is done while others still wait for them."""
        ended, now = self.ended(), time.monotonic()
        for party in ended:
            self._seen.setdefault(party, now)
        waited = len(ended) < len(PARTIES)
        return [
            party
            for party in ended
            if now > self._stays.get(party, 0.0)
            if self.running[party].returncode or (waited and now > self._seen[party] + WAITING_SECONDS)
        ]

    def close(self) -> None:
        """Leave nothing behind."""
        for party in self.running:
            self.kill(party)
        for proxy in self.proxies.values():
            proxy.close()
        for party in PARTIES:
            shutil.rmtree(disk_of(self._folder, party) / self.place.name, ignore_errors=True)


def disk_of(folder: Path, party: str) -> Path:
    """Name the folder that is a party's own small disk, where a study has such."""
    return folder / "disks" / party


def with_patience(process: "subprocess.Popen[bytes]") -> None:
    """Let a stopped process go on after a while."""
    try:
        process.wait(STOPPED_SECONDS)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGCONT)
