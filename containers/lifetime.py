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


def hold(state: Path, *, shared: bool = False, seconds: float = LEAVING_SECONDS) -> int:
    """Lock a state folder, for one gang's launchers if ``shared``; return what every party inherits of it.

    The lock falls when the last holder is gone, not the launcher alone: after a launcher died by
    SIGKILL the next one waits until that gang's parties have left, and does not write beside them.

    Raises:
        ConfigError: another gang still works there after ``seconds``.
    """
    state.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(state / "launch.lock", os.O_RDWR | os.O_CREAT, 0o600)
    give_up = time.monotonic() + seconds
    while not _locked(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX):
        if time.monotonic() > give_up:
            holder = os.read(descriptor, 100).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise ConfigError(
                f"{state}: another launch works in this folder (started as process {holder}); "
                "wait for it or end it, then run again"
            )
        time.sleep(0.1)
    if not shared:
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
    return descriptor


def share(held: int, state: Path) -> None:
    """Let this gang's other launchers into a folder that this one held alone.

    Raises:
        ConfigError: another gang came between.
    """
    if not _locked(held, fcntl.LOCK_SH):
        raise ConfigError(f"{state}: another launch took this folder; wait for it, then run again")


def _locked(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
