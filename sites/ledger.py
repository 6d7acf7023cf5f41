"""A site's ledger: what left, line by line, each line holding the hash of the one before.

``python -m sites ledger verify FILE`` checks that no line was changed, dropped or put in between, and adds up
what left in each session. Who kept a head (the hash of the last line) sees whether the end was cut off.
"""

import argparse
import errno
import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.table import Table

from coordinator.errors import ConfigError, DataError

START: Final = "0" * 64
HELLO: Final = "Hello"  # begins a session; names the spec
WENT_ON: Final = "WentOn"  # no release: from which commit the run went on
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
        if entry["kind"] == WENT_ON:
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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("action", choices=["verify"], help="check the chain, and add up what left")
    parser.add_argument("file", type=Path, help="a site's ledger.jsonl, in its state folder")
    parser.add_argument("--head", help="the hash of the last line as noted earlier")
    parser.add_argument(
        "--costs", type=Path, help="the run's costs.json: the coordinator's count to compare with"
    )
    parser.add_argument(
        "--heads", type=Path, help="the run's ledgers.json: the heads that the coordinator kept, by commit"
    )
    parser.add_argument("--site", help="whose ledger it is, in these files")


def run(options: argparse.Namespace) -> int:
    """Verify and print.

    Raises:
        ConfigError: a file is missing.
        DataError: the ledger was changed or cut, or does not hold what the other side counted.
    """
    if not options.file.is_file():
        raise ConfigError(f"{options.file}: no such file; it lies in state/…/SITE/ledger.jsonl")
    sessions, head, unfinished = verified(options.file)
    if options.head and not _was_head(options.file, options.head):
        raise DataError(f"{options.file}: no line has the hash {options.head}: the ledger's end was cut off")
    if options.heads:
        kept = check_heads(options.heads, options.site, options.file)
        print(f"{options.file}: holds all {kept} heads that the coordinator kept, in their order")
    if options.costs:
        check_costs(options.costs, options.site, released(options.file))
    table = Table("session", "began", "spec", "kind", "messages", "bytes")
    for place, session in enumerate(sessions, start=1):
        for kind, size in session.sizes.items():
            counts = (str(session.messages[kind]), str(size))
            table.add_row(str(place), session.began, session.spec[:12], kind, *counts)
    Console().print(table)
    for number in unfinished:
        print(f"{options.file}:{number}: cut off while it was written, as a power cut does; it says nothing")
    print(f"{options.file}: the chain holds; head {head}")
    return 0


def _was_head(path: Path, head: str) -> bool:
    return head == START or any(head_of(line) == head for line in path.read_bytes().splitlines())


def check_heads(path: Path, site: str | None, ledger: Path) -> int:
    """Find the heads that the coordinator kept, a commit each, in a ledger; give how many there are.

    Raises:
        ConfigError: the file has no such site.
        DataError: one is not there after the one before it.
    """
    try:
        heads = [str(head) for head in json.loads(path.read_text(encoding="utf-8"))[site]]
    except (OSError, ValueError, KeyError, TypeError):
        raise ConfigError(f"--heads {path}: no heads of site '{site}'; name it with --site") from None
    lines = iter(ledger.read_bytes().splitlines())
    for place, head in enumerate(heads, start=1):
        if not any(head_of(line) == head for line in lines):  # goes on after the head before
            raise DataError(
                f"{ledger}: head {place} of the {len(heads)} that the coordinator kept ({head[:12]}…) is not "
                "there after the one before it: the ledger was rewritten, or its end was cut off"
            )
    return len(heads)


def check_costs(path: Path, site: str | None, written: int) -> None:
    """Compare what was released with what was counted at the socket when the run ended.

    Raises:
        ConfigError: the file has no such site.
        DataError: the counts differ.
    """
    try:
        costs = json.loads(path.read_text(encoding="utf-8"))[site]
    except (OSError, ValueError, KeyError):
        raise ConfigError(f"--costs {path}: no costs of site '{site}'; name it with --site") from None
    counted = sum(
        size for name, size in costs.items() if name.startswith("bytes_up.") and name not in UNCOMPARED
    )
    if counted != written:
        raise DataError(
            f"the ledger holds {written} bytes of what the finished run released, {path} says {counted:.0f}: "
            f"a difference of {counted - written:.0f}"
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
