"""A site's ledger: what left, line by line, each line holding the hash of the one before.

`sites.verifying` checks that no line was changed, dropped or put in between. Who kept a head (the hash of the
last line) sees whether the end was cut off.
"""

import errno
import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from coordinator.errors import DataError

START: Final = "0" * 64
HELLO: Final = "Hello"  # begins a session; names the spec
WENT_ON: Final = "WentOn"  # no release: from which commit the run went on
RECEIPT: Final = "Receipt"  # no release: the coordinator's signature under this ledger's head at a commit
RESENT: Final = "resent"  # in a line: it had left already, and its connection was cut
# what the costs count and the comparison leaves out: no release, or of a conversation that began again
OF_TALKING: Final = ("hello", "committed", "done", "resent")
UNCOMPARED: Final = frozenset(
    {"bytes_up.pooling.records", *(f"bytes_up.control.{kind}" for kind in OF_TALKING)}
)
LONGEST: Final = 1 << 16  # bytes; a line has a few hundred


class Ledger:
    """The file, open at its end; written line by line, so that a kill loses nothing of what left."""

    def __init__(self, path: Path) -> None:
        """Go on after what an earlier attempt wrote; a line cut off by a power cut is ended and stays."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab", buffering=0)
        end = _end(path)
        if end and not end.endswith(b"\n"):
            self._write(b"\n")
        self.head = head_of(end.splitlines()[-1]) if end else START

    def write(self, kind: str, place: tuple[int, ...], size: int, *, labels: bool, **more: str) -> None:
        """Write one release down: its kind, place in the schedule and size in bytes."""
        if kind == HELLO:
            more = {**more, "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
        entry = {"kind": kind, "position": place, "bytes": size, "labels": labels, **more}
        line = msgspec.json.encode({**entry, "after": self.head})
        self._write(line + b"\n")
        self.head = head_of(line)

    def _write(self, content: bytes) -> None:
        """Write all of it; on a full disk part of a line may be written without an error."""
        if self._file.write(content) != len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._file.name))

    def synced(self) -> str:
        """Bring all lines onto the disk; give the last one's hash."""
        os.fsync(self._file.fileno())
        return self.head


@dataclass
class Session:
    """What left between a Hello and the next one."""

    spec: str
    began: str
    sizes: Counter[str] = field(default_factory=Counter)
    messages: Counter[str] = field(default_factory=Counter)


def _end(path: Path) -> bytes:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - LONGEST))
        return file.read()


def head_of(line: bytes) -> str:
    """Hash a line (sha256, hex)."""
    return hashlib.sha256(line).hexdigest()


def verified(path: Path) -> tuple[list[Session], str, list[int]]:
    """Check every line; give the sessions, the head, and the numbers of lines that were cut off.

    Raises:
        DataError: a line does not follow the one before.
    """
    sessions: list[Session] = []
    head, unfinished = START, []
    for number, line, entry in chained(path):
        head = head_of(line)
        if entry is None:
            unfinished.append(number)
            continue
        if entry["kind"] in (WENT_ON, RECEIPT):
            continue
        if entry["kind"] == HELLO and RESENT not in entry:
            sessions.append(Session(entry.get("spec", ""), entry.get("time", "")))
        if not sessions:
            raise DataError(
                f"{path}:{number}: a release before the first Hello; the ledger's start is missing"
            )
        kind = f"{entry['kind']} ({RESENT})" if RESENT in entry else entry["kind"]
        sessions[-1].sizes[kind] += entry["bytes"]
        sessions[-1].messages[kind] += 1
    return sessions, head, unfinished


def chained(path: Path) -> Iterator[tuple[int, bytes, dict[str, Any] | None]]:
    """Give each line's number, text and content, None where it was cut off and so nothing of it left.

    Raises:
        DataError: a line does not follow the one before.
    """
    head = START
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        entry = _entry(line)
        if entry is not None and entry["after"] != head:
            raise DataError(
                f"{path}:{number}: this line was not written after the one before it; the ledger was changed"
            )
        head = head_of(line)
        yield number, line, entry


def _entry(line: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) and {"after", "kind", "bytes"} <= found.keys() else None


def in_order(heads: Sequence[str], ledger: Path) -> None:
    """Find the heads that the coordinator kept in a ledger, in their order.

    Raises:
        DataError: one is not there after the one before it.
    """
    lines = iter(ledger.read_bytes().splitlines())
    for place, head in enumerate(heads, start=1):
        if not any(head_of(line) == head for line in lines):  # goes on after the head before
            raise DataError(
                f"{ledger}: head {place} of the {len(heads)} that the coordinator kept ({head[:12]}…) is not "
                "there after the one before it: the ledger was rewritten, or its end was cut off"
            )


def released(path: Path) -> int:
    """Add up what the last run released, beside the conversation itself, up to its end.

    Where it went on from a commit, what it had released after that and released again is left out.
    """
    at: dict[int, int] = {}
    spec, now = "", 0
    for entry in filter(None, map(_entry, path.read_bytes().splitlines())):
        place = entry["position"][0] if entry["position"] else -1
        match RESENT if RESENT in entry else entry["kind"]:
            case "resent":
                pass
            case "Hello":
                at, spec, now = (at if entry.get("spec") == spec else {}), entry.get("spec", ""), 0
            case "Committed":
                at[place] = now
            case "WentOn":
                now = at.get(place, 0)
            case "Done":
                pass
            case _:
                now += entry["bytes"]
    return now
