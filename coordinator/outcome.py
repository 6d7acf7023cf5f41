"""How a party's run ended, for the launcher and the operator: ``exit.json``."""

import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from coordinator.errors import ConfigError, DataError, PeerLost, ProtocolError, SutureError
from coordinator.lifeline import LifelineCut

CAUSES: dict[type[SutureError], str] = {
    ConfigError: "config",
    DataError: "data",
    ProtocolError: "protocol",
    PeerLost: "peer_lost",
    LifelineCut: "lifeline",
}


def recorded(party: str, state: Path, work: Callable[[], None]) -> int:
    """Do a party's work, and write how it ended; give the exit status.

    An error of Suture's own is said in a sentence, any other with its traceback.
    """
    state.mkdir(parents=True, exist_ok=True)
    cause, code, message = "ok", 0, ""
    try:
        work()
    except BrokenPipeError:  # nobody reads this party's words any more
        cause, code, message = "lifeline", LifelineCut.exit_status, "the launcher is gone"
    except tuple(CAUSES) as error:
        cause, code, message = CAUSES[type(error)], error.exit_status, str(error)
        print(f"{party}: {message}", file=sys.stderr, flush=True)
    except Exception as error:  # noqa: BLE001 - not swallowed: written down, and the party ends with it
        cause, code, message = "crash", 1, f"{type(error).__name__}: {error}"
        traceback.print_exc()
    write_json(
        state / "exit.json",
        {"party": party, "code": code, "cause": cause, "message": message, "time": time.time()},
    )
    return code


def write_json(path: Path, content: object) -> None:
    """Write a file whole or not at all, and onto the disk."""
    write_bytes(path, (json.dumps(content, indent=1) + "\n").encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, and onto the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
