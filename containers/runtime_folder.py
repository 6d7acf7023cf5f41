"""The private folder of one gang: its keys and its socket, gone when the gang is.

A 0700 folder with a short path, since a socket's path may have at most 107 characters.
"""

import fcntl
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from containers.errors import ConfigError

LONGEST_SOCKET_PATH = 107
PREFIX = "suture-gang-"
SOCKET = Path(
    "socket", "coordinator.ipc"
)  # a folder of its own: a party is shown it without the others' keys
GATES = "gates"  # each with a folder of its own, which its site's training is shown
SHARED = "s"  # what a study's fork servers and the gangs that they serve have in common
STALE_SECONDS = 60.0


def socket_path(runtime: Path) -> Path:
    """Name the coordinator's socket."""
    return runtime / SOCKET


def gate_path(runtime: Path, number: int) -> Path:
    """Name the socket of a site's gate; by the site's number, since a path has few characters."""
    return runtime / GATES / str(number) / "gate.ipc"


def bases() -> list[Path]:
    """Name where a runtime folder may lie, best first."""
    named = (os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir(), "/tmp")
    return [Path(name).absolute() for name in named if name]


@contextmanager
def runtime_folder(places: Sequence[Path]) -> Iterator[Path]:
    """Make a fresh folder in the first place that can hold it and delete it whatever happens.

    Raises:
        ConfigError: no place is writable and short enough.
    """
    base = _first_usable(places)
    sweep(base)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))
    with held(folder):
        try:
            socket_path(folder).parent.mkdir(mode=0o700)
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep a runtime folder from being swept, beside whoever else is at work in it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def sweep(base: Path, *, older_than_seconds: float = STALE_SECONDS) -> None:
    """Delete what launchers killed by SIGKILL left behind, keys among it: folders that nobody holds.

    Only a folder that has this module's name, mode and content is taken for one.
    """
    for folder in base.glob(f"{PREFIX}*"):
        try:
            found = folder.lstat()
            private = found.st_uid == os.getuid() and stat.S_IMODE(found.st_mode) == 0o700
            if private and time.time() - found.st_mtime > older_than_seconds and _is_ours(folder):
                _delete_unheld(folder)
        except OSError:
            continue  # it vanished, or is held by its launcher


def _is_ours(folder: Path) -> bool:
    content = {path.name for path in folder.iterdir() if path.suffix != ".secret"}
    return SOCKET.parts[0] in content and content <= {SOCKET.parts[0], GATES, SHARED, "manifest.json"}


def _delete_unheld(folder: Path) -> None:
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(held)


def _first_usable(places: Sequence[Path]) -> Path:
    for base in places:
        longest = len(os.fsencode(socket_path(base / f"{PREFIX}12345678")))
        if base.is_dir() and os.access(base, os.W_OK | os.X_OK) and longest <= LONGEST_SOCKET_PATH:
            return base
    tried = ", ".join(dict.fromkeys(map(str, places)))
    raise ConfigError(
        f"no place for a socket: tried {tried}; expected a writable folder whose sockets' paths have at most "
        f"{LONGEST_SOCKET_PATH} characters; set XDG_RUNTIME_DIR to a folder with a shorter path"
    )
