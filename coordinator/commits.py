"""A party's commits on disk: states from which it can go on, the last two of them.

A commit is two files, its tensors and then its JSON, whose appearance makes it whole. A commit of another
run (other hyperparameters, data or code) is moved aside and never gone on from; a damaged one is passed over.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError
from safetensors.torch import load, save

from coordinator.algorithms.tensors import apart
from coordinator.code import code_hash
from coordinator.config import OnLoss
from coordinator.errors import ProtocolError
from coordinator.outcome import write_bytes
from coordinator.specs import Run, run_digest
from coordinator.trees import flatten, rebuild

FORMAT: Final = 1
KEPT: Final = 2
ASIDE: Final = "aside"
COMMITS: Final = "commits"


@dataclass(frozen=True)
class Commit:
    """A state after an item of the schedule; `extra` is what the party keeps beside the algorithm's."""

    number: int
    item: int
    state: dict[str, Any]
    extra: dict[str, Any] = field(default_factory=dict)


class Commits:
    """The folder."""

    def __init__(self, folder: Path, spec: str) -> None:
        """Look at what is there, and move what is of another run aside.

        Args:
            folder: made if it is missing.
            spec: hash of all that the run's outcome depends on (`spec_hash`).
        """
        self.folder, self._spec = folder, spec
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for partial in folder.glob(".*.partial"):  # of a process that was killed while it wrote
            partial.unlink()
        for path in self._paths():
            if (found := _read(path)) is not None and found["spec"] != spec:
                self._move_aside(path)
        self._hashes = {n: h for path in self._paths() for n, h in self._sound(path)}

    def held(self) -> dict[int, str]:
        """Give the commits that can be gone on from, the newest last: number to hash (sha256)."""
        return dict(sorted(self._hashes.items()))

    def write(self, commit: Commit) -> str:
        """Write a commit durably; give its hash."""
        tensors: dict[str, Any] = {}
        plain = {key: flatten(getattr(commit, key), key, tensors) for key in ("state", "extra")}
        content = save(apart({name: value.cpu().contiguous() for name, value in tensors.items()}))
        write_bytes(self._tensors(commit.number), content)
        head = {"format": FORMAT, "spec": self._spec, "number": commit.number, "item": commit.item}
        text = json.dumps({**head, "tensors": _sha256(content), **plain}).encode()
        write_bytes(self._json(commit.number), _sha256(text).encode() + b"\n" + text)
        self._hashes[commit.number] = _sha256(text)
        return self._hashes[commit.number]

    def forget_old(self) -> None:
        """Forget all but the last two, now that everybody holds these."""
        self._forget(sorted(self._hashes)[:-KEPT])

    def read(self, number: int) -> Commit:
        """Read a commit that is held.

        Raises:
            ProtocolError: it is not.
        """
        found = _read(self._json(number)) if number in self._hashes else None
        if found is None:
            raise ProtocolError(f"asked to go on from commit {number}, and {sorted(self._hashes)} are held")
        tensors = load(self._tensors(number).read_bytes())
        state, extra = (rebuild(found[key], tensors) for key in ("state", "extra"))
        return Commit(number, found["item"], state, extra)

    def rewind(self, number: int) -> None:
        """Forget the commits after one, -1: all."""
        self._forget([each for each in self._hashes if each > number])

    def _forget(self, numbers: list[int]) -> None:
        for number in numbers:
            del self._hashes[number]
            self._json(number).unlink(missing_ok=True)
            self._tensors(number).unlink(missing_ok=True)

    def _sound(self, path: Path) -> list[tuple[int, str]]:
        found = _read(path)
        if found is None:
            return []
        try:
            content = self._tensors(found["number"]).read_bytes()
            load(content)
        except (OSError, SafetensorError):
            return []
        sound = _sha256(content) == found["tensors"]
        return [(found["number"], found["hash"])] if sound else []

    def _move_aside(self, path: Path) -> None:
        aside = self.folder / ASIDE
        aside.mkdir(exist_ok=True)
        for each in (path, path.with_suffix(".safetensors")):
            if each.exists():
                each.replace(aside / each.name)

    def _paths(self) -> list[Path]:
        return sorted(self.folder.glob("[0-9]*.json"))

    def _json(self, number: int) -> Path:
        return self.folder / f"{number:08}.json"

    def _tensors(self, number: int) -> Path:
        return self.folder / f"{number:08}.safetensors"


def spec_hash(run: Run, statistics: Mapping[str, Any], *own: str) -> str:
    """Hash all that decides a run's outcome: its spec, the agreed statistics and counts, the code.

    Args:
        run: what is done when a party is lost may change while one is.
        statistics: agreed on.
        own: hashes of what this party alone has: its records, its code.
    """
    agreed = json.dumps(statistics, sort_keys=True)
    return _sha256("\n".join((run_digest(run), agreed, code_hash(), *own)).encode())


def from_commit(number: int) -> str:
    """Say from where a run goes on."""
    return f"go on from commit {number}" if number >= 0 else "begin anew: there is no commit yet"


def seconds_of(on_loss: OnLoss) -> float | None:
    """Give how long a lost party is waited for, None: for ever."""
    return None if on_loss.minutes is None else on_loss.minutes * 60


def _read(path: Path) -> dict[str, Any] | None:
    try:
        written, _, text = path.read_bytes().partition(b"\n")
    except OSError:
        return None
    if _sha256(text).encode() != written:
        return None
    found: dict[str, Any] = json.loads(text)
    same = found["format"] == FORMAT and found["number"] == int(path.stem)
    return {**found, "hash": written.decode()} if same else None


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
