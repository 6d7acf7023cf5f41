"""A party's commits on disk: states from which it can go on, the last two of them.

A commit is one file whose name holds its hash: the tensors, and the rest as JSON in their header. One of
another run (other hyperparameters, data or code) is moved aside and never gone on from; a damaged one is
passed over.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any, Final

from coordinator.algorithms.tensors import apart
from coordinator.code import code_hash
from coordinator.config import OnLoss
from coordinator.errors import ProtocolError
from coordinator.outcome import sync, write_bytes
from coordinator.specs import Run, run_digest
from coordinator.tensor_files import pieces, read_metadata, read_tensors
from coordinator.trees import flatten, rebuild

FORMAT: Final = 2
KEPT: Final = 2
ENDING: Final = ".safetensors"
HEAD: Final = "suture"  # in the file's metadata
SPARE: Final = ".spare.partial"
ASIDE: Final = "aside"
COMMITS: Final = "commits"
COPIED_BYTES: Final = 64 * 2**20  # of tensors: more are written where they lie, and waited for


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
        for left in folder.glob(".*.partial"):  # of a process that was killed while it wrote
            left.unlink()
        self._spare: Path | None = None
        self._hashes: dict[int, str] = {}
        self._writing: tuple[Writing, int, str] | None = None
        for path in sorted(folder.glob(f"[0-9]*{ENDING}")):
            self._look_at(path)

    def held(self) -> dict[int, str]:
        """Give the commits that can be gone on from, the newest last: number to hash (sha256)."""
        return dict(sorted(self._hashes.items()))

    def write(self, commit: Commit) -> str:
        """Write a commit durably; give its hash."""
        found = self.begin(commit)
        self.end()
        return found

    def begin(self, commit: Commit) -> str:
        """Begin to write a commit as it is now, while other things are done; give its hash."""
        tensors: dict[str, Any] = {}
        plain = {key: flatten(getattr(commit, key), key, tensors) for key in ("state", "extra")}
        head = {"format": FORMAT, "spec": self._spec, "number": commit.number, "item": commit.item, **plain}
        whole = apart({name: value.cpu().contiguous() for name, value in tensors.items()})
        content = pieces(whole, {HEAD: json.dumps(head)})
        self._forget([commit.number])
        spare, self._spare = self._spare, None
        if sum(each.nbytes for each in whole.values()) > COPIED_BYTES:
            written = spare or self.folder / SPARE
            found = _stream(content, written)
            work = partial(_settle, written, self._path(commit.number, found))
        else:
            copied = b"".join(content)
            found = hashlib.sha256(copied).hexdigest()
            work = partial(write_bytes, self._path(commit.number, found), copied, over=spare)
        self._writing = Writing(work), commit.number, found
        return found

    def end(self) -> None:
        """Wait until what was begun lies on the disk, and hold it.

        Raises:
            OSError: the disk is full, or does not take it.
        """
        if self._writing:
            (writing, number, found), self._writing = self._writing, None
            writing.end()
            self._hashes[number] = found

    def is_written(self) -> bool:
        """Say whether nothing that was begun is still to be waited for."""
        return self._writing is None or self._writing[0].is_over()

    def forget_old(self) -> None:
        """Forget all but the last two, now that everybody holds these."""
        self._forget(sorted(self._hashes)[:-KEPT])

    def read(self, number: int) -> Commit:
        """Read a commit that is held.

        Raises:
            ProtocolError: it is not.
        """
        if number not in self._hashes:
            raise ProtocolError(f"asked to go on from commit {number}, and {sorted(self._hashes)} are held")
        path = self._path(number, self._hashes[number])
        head, tensors = _head(path), read_tensors(path)
        state, extra = (rebuild(head[key], tensors) for key in ("state", "extra"))
        return Commit(number, head["item"], state, extra)

    def rewind(self, number: int) -> None:
        """Forget the commits after one, -1: all."""
        self._forget([each for each in self._hashes if each > number])

    def _forget(self, numbers: list[int]) -> None:
        """Forget commits; the next one is written over the last of them, which spares the disk most work."""
        for number in numbers:
            if number not in self._hashes:
                continue
            path = self._path(number, self._hashes.pop(number))
            if self._spare:
                path.unlink(missing_ok=True)
            else:
                self._spare = path.replace(self.folder / SPARE)

    def _look_at(self, path: Path) -> None:
        """Hold a commit if it is sound and of this run."""
        number, _, written = path.name.removesuffix(ENDING).partition(".")
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != written:
                return
        head = _head(path)
        if head["spec"] != self._spec or head["format"] != FORMAT:
            aside = self.folder / ASIDE
            aside.mkdir(exist_ok=True)
            path.replace(aside / path.name)
        elif head["number"] == int(number):
            self._hashes[head["number"]] = written

    def _path(self, number: int, found: str) -> Path:
        return self.folder / f"{number:08}.{found}{ENDING}"


class Writing:
    """Work that waits for the disk, in a thread of its own."""

    def __init__(self, work: Callable[[], None]) -> None:
        """Begin."""
        self._work, self._error = work, list[BaseException]()
        self._thread = Thread(target=self._do, name="commit")
        self._thread.start()

    def is_over(self) -> bool:
        """Say whether it has ended, well or not."""
        return not self._thread.is_alive()

    def end(self) -> None:
        """Wait for its end; raises what it raised."""
        self._thread.join()
        if self._error:
            raise self._error[0]

    def _do(self) -> None:
        try:
            self._work()
        except BaseException as error:  # noqa: BLE001 - it is raised where the end is waited for
            self._error.append(error)


def _stream(content: Iterable[bytes | memoryview], path: Path) -> str:
    """Write a file piece by piece, not yet onto the disk; give its hash."""
    digest = hashlib.sha256()
    try:
        with path.open("wb") as file:
            for piece in content:
                file.write(piece)
                digest.update(piece)
    except OSError:  # a full disk: half a file gives its room back
        path.unlink(missing_ok=True)
        raise
    return digest.hexdigest()


def _settle(written: Path, path: Path) -> None:
    """Bring a written file onto the disk, and give it its name."""
    with written.open("rb") as file:
        os.fsync(file.fileno())
    written.rename(path)
    sync(path.parent)


def _head(path: Path) -> dict[str, Any]:
    """Read what is not tensors out of a file's header."""
    found: dict[str, Any] = json.loads(read_metadata(path)[HEAD])
    return found


def spec_hash(run: Run, statistics: Mapping[str, Any], *own: str) -> str:
    """Hash all that decides a run's outcome: its spec, the agreed statistics and counts, the code.

    Args:
        run: what is done when a party is lost may change while one is.
        statistics: agreed on.
        own: hashes of what this party alone has: its records, its code.
    """
    agreed = json.dumps(statistics, sort_keys=True)
    return hashlib.sha256("\n".join((run_digest(run), agreed, code_hash(), *own)).encode()).hexdigest()


def from_commit(number: int) -> str:
    """Say from where a run goes on."""
    return f"go on from commit {number}" if number >= 0 else "begin anew: there is no commit yet"


def seconds_of(on_loss: OnLoss) -> float | None:
    """Give how long a lost party is waited for, None: for ever."""
    return None if on_loss.minutes is None else on_loss.minutes * 60
