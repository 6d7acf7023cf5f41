"""Namespaces by bubblewrap (``bwrap``): walls that need no daemon, no image and no privilege.

Inside are the host's own programs, read-only: /usr, this Python and its environment, the packages of this
checkout that the command runs. Of files beside them only what is bound, of the network nothing.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from containers.sandbox import Bind, Sandbox, same_place

ISOLATION = (
    "bubblewrap: each process in namespaces of its own, with no network, no other process and no file but "
    "its own in sight, on a read-only root, without capabilities; memory is not limited"
)
FORKS = False  # what is forked from another's program is inside that one's walls
ROOT = Path(__file__).resolve().parent.parent.parent
# what lies in / as a folder, or as a link into /usr
SYSTEM = ("usr", "bin", "sbin", "lib", "lib32", "lib64")
# what programs look up; no other settings of the host, and none of its secrets
SETTINGS = ("ld.so.cache", "alternatives", "localtime", "passwd", "group", "nsswitch.conf", "fonts")
SETTINGS_OF_THE_NETWORK = ("hosts", "resolv.conf", "ssl/certs")
PACKAGES = ("coordinator", "sites", "containers", "workflow")
# coordinators have no part of `sites` that could read a record
SHOWN = {"coordinator": PACKAGES[:1], "sites": PACKAGES[:2]}
PROBE_SECONDS = 20.0


def problem() -> str:
    """Say why this runtime cannot be used here, or nothing: bwrap may be there and namespaces forbidden."""
    if not shutil.which("bwrap"):
        return "the program bwrap is missing; install bubblewrap (Debian: apt-get install bubblewrap)"
    try:
        words = argv(Sandbox(command=(sys.executable, "-I", "-S", "-c", "")))
        done = subprocess.run(words, cwd="/", capture_output=True, text=True, timeout=PROBE_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"bwrap does not run here ({error})"
    said = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
    return f"bwrap cannot build walls here ({said}); are user namespaces allowed?" if done.returncode else ""


def argv(sandbox: Sandbox) -> list[str]:
    """Return the command line of bwrap for a sandbox; processors and the number of processes are not limited.

    Mounts are made in this order, so that what is bound may lie in /tmp, and the root is closed at the end.
    """
    binds = [*_interpreter(), *_code(sandbox.command), *sandbox.binds]
    return [
        shutil.which("bwrap") or "bwrap",
        *("--unshare-all", *(("--share-net",) if sandbox.network == "host" else ())),
        *("--cap-drop", "ALL", "--hostname", "sandbox"),
        # a party with a lifeline leaves in order when its launcher dies, and has a session of its own
        *(() if sandbox.lifeline else ("--die-with-parent", "--new-session")),
        *_system(sandbox.network == "host"),
        *("--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"),
        *("--ro-bind-try", "/sys/devices/system/cpu", "/sys/devices/system/cpu"),
        *(word for bind in binds for word in _words(bind)),
        *("--dir", str(Path.cwd()), "--remount-ro", "/", "--chdir", str(Path.cwd())),
        *("--setenv", "HOME", "/tmp", "--setenv", "TMPDIR", "/tmp"),
        "--",
        *(("prlimit", f"--data={sandbox.memory}", "--") if sandbox.memory else ()),
        *sandbox.command,
    ]


def _words(bind: Bind) -> tuple[str, str, str]:
    return ("--bind" if bind.mode == "rw" else "--ro-bind", str(bind.source), str(bind.target))


def _system(network: bool) -> Iterator[str]:
    for name in SYSTEM:
        path = Path("/", name)
        if path.is_symlink():
            yield from ("--symlink", str(path.readlink()), str(path))
        elif path.is_dir():
            yield from ("--ro-bind", str(path), str(path))
    for name in (*SETTINGS, *(SETTINGS_OF_THE_NETWORK if network else ())):
        yield from ("--ro-bind-try", f"/etc/{name}", f"/etc/{name}")


def _interpreter() -> Iterator[Bind]:
    """Show Python where it lies outside /usr: what an environment was made from, and the environment."""
    for prefix in dict.fromkeys((sys.base_prefix, sys.prefix)):
        if not Path(prefix).is_relative_to("/usr"):
            yield same_place(Path(prefix))


def _code(command: tuple[str, ...]) -> Iterator[Bind]:
    """Show what a command runs: ``python -m NAME`` its own package and what that imports, or a script."""
    module = command[2] if command[1:2] == ("-m",) else ""
    if len(command) > 1 and Path(command[1]).is_file():
        yield same_place(Path(command[1]))
    for name in SHOWN.get(module, PACKAGES):
        if (ROOT / name).is_dir():
            yield same_place(ROOT / name)
