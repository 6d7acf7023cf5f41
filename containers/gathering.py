"""What the launchers of one gang tell each other: files in the state folder, which all nodes see.

The first launcher alone clears the folder of an earlier attempt and opens the gathering; public keys, where
the coordinator listens and how parties ended follow. Secrets stay on the node that made them.
"""

import json
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from containers.allocation import Node, dealt, patience
from containers.errors import ConfigError
from containers.gang import COORDINATOR, Gang
from containers.outcome import Outcome
from containers.watch import Watch

FOLDER = "gathering"
GATHER_SECONDS = 300.0  # a node may be slow to start, and a shared file system to show what is new
LOOK_SECONDS = 0.2
GLANCE_SECONDS = 1.0  # a shared file system is asked for the others no more often


@dataclass(frozen=True)
class Ended:
    """How a launcher's parties ended: all well, by a fault of one of them, or since they were asked to."""

    why: str
    outcomes: tuple[Outcome, ...]


@dataclass
class Gathering:
    """One launcher's view of the others; without any, for a launcher that stands alone."""

    gang: Gang
    where: Node = field(default_factory=Node)
    attempt: int = 0
    _ended: dict[int, Ended] = field(default_factory=dict)
    _looked: float = 0.0
    _stopping: tuple[float, set[str]] | None = None

    @property
    def folder(self) -> Path:
        """Name where the files lie."""
        return self.gang.state / FOLDER

    @property
    def _nodes(self) -> range:
        """Count the launchers that have a party."""
        return range(min(self.where.nodes, len(self.gang.keyed)))

    def open(self, attempt: int, let_in: Callable[[], None]) -> None:
        """Begin, as the first launcher; where there are others, let them take part."""
        self.attempt = attempt
        shutil.rmtree(self.folder, ignore_errors=True)
        if not self.where.alone:
            self.folder.mkdir(mode=0o700)
            let_in()
            self._tell("open", {"step": self.where.step, "attempt": attempt})

    def join(self) -> None:
        """Wait, as any other launcher, until the first one of the same start has begun.

        Raises:
            ConfigError: it did not.
        """
        give_up = time.monotonic() + GATHER_SECONDS
        while (self._read("open") or {}).get("step") != self.where.step:
            if time.monotonic() > give_up:
                raise ConfigError(
                    f"{self.folder}: the launcher of the first node wrote nothing here in "
                    f"{GATHER_SECONDS:.0f} s; do all nodes see this folder?"
                )
            time.sleep(LOOK_SECONDS)
        self.attempt = int((self._read("open") or {})["attempt"])

    def exchange(self, manifest: Path, watch: Watch) -> bool:
        """Put together the public keys that every launcher made for its own parties; False at an early end.

        Raises:
            ConfigError: a node's did not come.
        """
        if self.where.alone:
            return True
        self._tell(f"keys-{self.where.rank}", json.loads(manifest.read_bytes()))
        whole: dict[str, Any] = {}
        for rank in self._nodes:
            found = self._awaited(f"keys-{rank}", watch)
            if found is None:
                return False
            whole |= found
        _write(manifest, whole)
        return True

    def end(self, why: str, outcomes: Sequence[Outcome]) -> None:
        """Tell the others how the parties here ended."""
        if not self.where.alone:
            told = {"why": why, "outcomes": [asdict(found) for found in outcomes]}
            self._tell(f"end-{self.where.rank}", told)

    def elsewhere(self) -> Mapping[int, Ended]:
        """Give how parties on other nodes ended, as far as they have; looks about once a second."""
        if not self.where.alone and time.monotonic() - self._looked >= GLANCE_SECONDS:
            self.look()
        return self._ended

    def look(self) -> None:
        """Look for who has ended since."""
        self._looked = time.monotonic()
        for rank in set(self._nodes) - {self.where.rank, *self._ended}:
            if found := self._read(f"end-{rank}"):
                told = tuple(Outcome(**outcome) for outcome in found["outcomes"])
                self._ended[rank] = Ended(found["why"], told)

    def failed_elsewhere(self) -> int | None:
        """Name a node where parties ended by a fault."""
        return next((rank for rank, ended in self.elsewhere().items() if ended.why == "failed"), None)

    def left_elsewhere(self) -> set[str]:
        """Name the parties on other nodes that have not ended, as far as is known."""
        others = set(self._nodes) - {self.where.rank, *self.elsewhere()}
        shares = (dealt(self.gang.keyed, Node(rank, self.where.nodes)) for rank in others)
        return {party for share in shares for party in self.gang.of(share)}

    def may_commit(self) -> bool:
        """Say whether parties that are to stop should stay for a commit: not for long, and only for the next.

        A cluster says it some time before; what was done since the last commit would be lost otherwise.
        """
        if self.where.alone or self.elsewhere():
            return False
        if self._stopping is None:
            left = patience(os.environ, time.time())
            self._stopping = time.monotonic() + left, self._commits()
        until, before = self._stopping
        return time.monotonic() < until and self._commits() <= before

    def wait_for_others(self, watch: Watch, seconds: float) -> set[str]:
        """Wait until the parties on all nodes have ended; give who has not in time, or until a signal."""
        give_up = time.monotonic() + seconds
        while (left := self.left_elsewhere()) and time.monotonic() < give_up:
            watch.step(LOOK_SECONDS)
        return left

    def _awaited(self, name: str, watch: Watch) -> dict[str, Any] | None:
        give_up = time.monotonic() + GATHER_SECONDS
        while not (found := self._read(name)):
            if watch.stopped_by or self.elsewhere():
                return None
            if time.monotonic() > give_up:
                raise ConfigError(f"{self.folder}: {name} did not come in {GATHER_SECONDS:.0f} s")
            watch.step(LOOK_SECONDS)
        return found

    def _commits(self) -> set[str]:
        folder = self.gang.state / COORDINATOR / "commits"
        found = folder.iterdir() if folder.is_dir() else ()
        return {path.name for path in found if path.suffix != ".partial"}

    def _tell(self, name: str, content: Mapping[str, Any]) -> None:
        _write(self.folder / f"{name}.json", content)

    def _read(self, name: str) -> dict[str, Any] | None:
        path = self.folder / f"{name}.json"
        return dict(json.loads(path.read_bytes())) if listed(path) else None


def listed(path: Path) -> bool:
    """Say whether a file is there: to list a folder asks a shared file system's server, to look may not."""
    try:
        return path in path.parent.iterdir()
    except FileNotFoundError:
        return False


def _write(path: Path, content: Mapping[str, Any]) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    partial.write_text(json.dumps(content) + "\n", encoding="utf-8")
    partial.rename(path)
