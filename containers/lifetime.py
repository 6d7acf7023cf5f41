"""Who outlives whom: die with the parent, and one gang at a time in a state folder."""

import ctypes
import fcntl
import os
import signal
import sys
import time
from pathlib import Path

from containers.errors import ConfigError

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
LEAVING_SECONDS = 20.0


def die_with_parent(parent: int) -> None:
    """Ask the kernel for SIGTERM when the parent dies; survives exec.

    The signal is for a death still to come, so a parent that is gone already is looked for afterwards.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:
        print(f"containers: process {parent}, which started this one, is gone; leaving", file=sys.stderr)
        raise SystemExit(128 + signal.SIGTERM)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER) failed")


def hold(state: Path, *, seconds: float = LEAVING_SECONDS) -> int:
    """Lock a state folder and return the descriptor that every party inherits.

    The lock falls when the last holder is gone, not the launcher alone: after a launcher died by
    SIGKILL the next one waits until that gang's parties have left, and does not write beside them.

    Raises:
        ConfigError: another gang still works there after ``seconds``.
    """
    state.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(state / "launch.lock", os.O_RDWR | os.O_CREAT, 0o600)
    give_up = time.monotonic() + seconds
    while not _locked(descriptor):
        if time.monotonic() > give_up:
            holder = os.read(descriptor, 100).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise ConfigError(
                f"{state}: another launch works in this folder (started as process {holder}); "
                "wait for it or end it, then run again"
            )
        time.sleep(0.1)
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode())
    return descriptor


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
