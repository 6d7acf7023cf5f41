"""How a party's run ended, for the launcher and the operator: ``exit.json``."""

import errno
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from coordinator.errors import ConfigError, DataError, PeerLost, PeerRemoved, ProtocolError, SutureError
from coordinator.lease import take
from coordinator.lifeline import LifelineCut
from coordinator.shortage import shortage

CAUSES: dict[type[SutureError], str] = {
    ConfigError: "config",
    DataError: "data",
    ProtocolError: "protocol",
    PeerLost: "peer_lost",
    PeerRemoved: "peer_lost",
    LifelineCut: "lifeline",
}
RESERVE, RESERVED_BYTES = ".reserve", 16 * 1024
ROOM = "make room, then run again: it goes on from the last commit"
DISK = {
    errno.ENOSPC: ROOM,
    errno.EDQUOT: ROOM,
    errno.EFBIG: ROOM,
    errno.EROFS: "let this party write there, then run again",
    errno.EACCES: "let this party write there, then run again",
}


def recorded(party: str, state: Path, work: Callable[[], None]) -> int:
    """Do a party's work, and write how it ended; give the exit status.

    An error of Suture's own is said in a sentence, as is a full or read-only disk; any other with its
    traceback.
    """
    try:
        lease = take(state)
    except ConfigError as error:  # the folder is another's: nothing is written there
        print(f"{party}: {error}", file=sys.stderr, flush=True)
        return error.exit_status
    except OSError as error:
        print(f"{party}: {end_of(error, state)[2]}", file=sys.stderr, flush=True)
        return 1
    found: Exception | None = None
    try:
        (state / "exit.json").unlink(missing_ok=True)  # of an earlier process
        write_bytes(state / RESERVE, bytes(RESERVED_BYTES))  # room for the last words on a full disk
        work()
    except Exception as error:  # noqa: BLE001 - not swallowed: written down, and the party ends with it
        found = error
    cause, code, message = end_of(found, state)
    ended = {"party": party, "code": code, "cause": cause, "message": message, "time": time.time()}
    with suppress(*([OSError] if cause == "disk" else [])):
        (state / RESERVE).unlink(missing_ok=True)
        write_json(state / "exit.json", ended)
    if found is not None and cause == "crash":
        traceback.print_exception(found)
    elif message and not isinstance(found, BrokenPipeError):
        print(f"{party}: {message}", file=sys.stderr, flush=True)
    os.close(lease)
    return code


def end_of(error: Exception | None, state: Path) -> tuple[str, int, str]:
    """Give the cause, the exit status and the message of an end."""
    match error:
        case None:
            return "ok", 0, ""
        case BrokenPipeError():  # nobody reads this party's words any more
            return "lifeline", LifelineCut.exit_status, "the launcher is gone"
        case SutureError() if type(error) in CAUSES:
            return CAUSES[type(error)], error.exit_status, str(error)
        case OSError() if error.errno in DISK:
            return "disk", 1, f"{error.filename or state}: {error.strerror}; {DISK[error.errno]}"
    if lacking := shortage(error):
        return "memory", 1, lacking
    return "crash", 1, f"{type(error).__name__}: {error}"


def write_json(path: Path, content: object) -> None:
    """Write a file whole or not at all, and onto the disk."""
    write_bytes(path, (json.dumps(content, indent=1) + "\n").encode())


def write_bytes(
    path: Path, content: bytes | Iterable[bytes | memoryview], *, mode: int = 0o666, over: Path | None = None
) -> None:
    """Write a file whole or not at all, and onto the disk; for others as far as mode and umask let them.

    Where a file that nobody needs is given, it is written over that one, whose room on the disk it takes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    if over:
        over.rename(partial)
    try:
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, mode), "wb") as file:
            file.writelines([content] if isinstance(content, bytes) else content)
            file.truncate()
            os.fsync(file.fileno())
        partial.rename(path)
    except OSError:  # a full disk: what was there stays, and half a file gives its room back
        partial.unlink(missing_ok=True)
        raise
    sync(path.parent)


def sync(folder: Path) -> None:
    """Bring a folder's names onto the disk."""
    found = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(found)
    finally:
        os.close(found)
