"""Rows of JSON that only grow: the newest in memory and in commits, the rest in a file that commits measure.

A commit would otherwise hold all that was ever written, and a run of n commits write n^2 rows.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from coordinator.errors import DataError
from coordinator.outcome import sync

RECENT: Final = 64  # rows that a commit holds itself, at most twice as many

Row = dict[str, Any]


class Rows:
    """They; a file's end that no commit measured, of a process that was killed, is cut off again."""

    def __init__(self, path: Path | None = None) -> None:
        """Hold none; without a file all stay in memory and in commits."""
        self._path, self._recent = path, list[Row]()
        self._kept = 0  # bytes of the file

    def add(self, *rows: Row) -> None:
        """Add rows; the oldest of many go to the file, and lie on the disk before a commit measures it."""
        self._recent += rows
        if self._path and len(self._recent) >= 2 * RECENT:
            old, self._recent = self._recent[:-RECENT], self._recent[-RECENT:]
            self._write(self._path, "".join(json.dumps(row) + "\n" for row in old).encode())

    def __iter__(self) -> Iterator[Row]:
        """Give all of them, the oldest first."""
        if self._path and self._kept:
            with self._path.open("rb") as file:
                yield from map(json.loads, file.read(self._kept).splitlines())
        yield from self._recent

    def last(self) -> Row | None:
        """Give the newest."""
        return self._recent[-1] if self._recent else None

    def state(self) -> dict[str, Any]:
        """Give what a commit holds."""
        return {"kept": self._kept, "recent": [json.dumps(row) for row in self._recent]}

    def load(self, state: dict[str, Any]) -> None:
        """Go on from there.

        Raises:
            DataError: the file is shorter than a commit measured it.
        """
        found = self._path.stat().st_size if self._path and self._path.exists() else 0
        if found < state["kept"]:
            raise DataError(
                f"{self._path}: {found} bytes, and a commit counted {state['kept']}; restore the file, or "
                "begin anew: remove the folder commits/ of every party"
            )
        self._kept, self._recent = state["kept"], [json.loads(row) for row in state["recent"]]

    def _write(self, path: Path, content: bytes) -> None:
        new = not path.exists()
        with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+b") as file:
            file.truncate(self._kept)
            file.seek(self._kept)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        self._kept += len(content)
        if new:
            sync(path.parent)
