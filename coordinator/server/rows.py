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

MOST_BYTES: Final = 16 * 1024  # of rows that a commit holds itself, beside the newest

Row = dict[str, Any]


class Rows:
    """They; a file's end that no commit measured, of a process that was killed, is cut off again."""

    def __init__(self, path: Path | None = None) -> None:
        """Hold none; without a file all stay in memory and in commits."""
        self._path, self._recent = path, list[str]()  # as JSON, made once
        self._kept = self._held = 0  # bytes of the file, and here

    def add(self, *rows: Row) -> None:
        """Add rows; the oldest of many go to the file, and lie on the disk before a commit measures it."""
        for text in map(json.dumps, rows):
            if self._path and self._held > MOST_BYTES:
                self._write(self._path, "".join(f"{each}\n" for each in self._recent).encode())
                self._recent, self._held = [], 0
            self._recent.append(text)
            self._held += len(text)

    def __iter__(self) -> Iterator[Row]:
        """Give all of them, the oldest first."""
        if self._path and self._kept:
            with self._path.open("rb") as file:
                yield from map(json.loads, file.read(self._kept).splitlines())
        yield from map(json.loads, self._recent)

    def last(self) -> Row | None:
        """Give the newest."""
        return json.loads(self._recent[-1]) if self._recent else None

    def state(self) -> dict[str, Any]:
        """Give what a commit holds."""
        return {"kept": self._kept, "recent": list(self._recent)}

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
        self._kept, self._recent = state["kept"], list(state["recent"])
        self._held = sum(map(len, self._recent))

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
