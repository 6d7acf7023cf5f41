"""One process at a time works in a party's state folder; the lock falls with the process, however it ends."""

import fcntl
import json
import os
import socket
import time
from pathlib import Path
from typing import Final

from coordinator.errors import ConfigError

LEASE: Final = "lease"
LEAVING_SECONDS: Final = 5.0


def take(state: Path) -> int:
    """Take a state folder's lease, and give the descriptor that holds it for this process's life.

    Raises:
        ConfigError: another process holds it.
    """
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(state / LEASE, os.O_RDWR | os.O_CREAT, 0o600)
    give_up = time.monotonic() + LEAVING_SECONDS
    while not _locked(descriptor):
        if time.monotonic() < give_up:  # one that is being ended, or somebody who looks
            time.sleep(0.1)
            continue
        holder = os.read(descriptor, 1000).decode(errors="replace").strip() or "unknown"
        os.close(descriptor)
        raise ConfigError(f"{state}: another process works here ({holder}); end it, then run again") from None
    words = json.dumps({"host": socket.gethostname(), "pid": os.getpid()})
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, words.encode(), 0)
    return descriptor


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_held(state: Path) -> bool:
    """Say whether a process holds the lease of a state folder at this moment."""
    try:
        descriptor = os.open(state / LEASE, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
