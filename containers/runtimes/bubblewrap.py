"""Namespaces by bubblewrap (``bwrap``): walls that need no daemon, no image and no privilege.

Inside are the host's own programs, read-only: /usr, this Python and its environment, the packages of this
checkout that the command runs. Of files beside them only what is bound, of the network nothing.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from containers import host_programs
from containers.sandbox import Bind, Network, Sandbox

ISOLATION = (
    "bubblewrap: each party in namespaces of its own, with no network, no other party and no file but its "
    "own in sight, on a read-only root, without capabilities"
)
FORKS = False  # what is forked from another's program is inside that one's walls
IMAGES = ""  # the host's own programs
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
    binds = [*host_programs.interpreter(), *host_programs.code(sandbox.command), *sandbox.binds]
    return [
        shutil.which("bwrap") or "bwrap",
        *("--unshare-all", *(("--share-net",) if sandbox.network == "host" else ())),
        *("--cap-drop", "ALL", "--hostname", "sandbox"),
        # a party with a lifeline leaves in order when its launcher dies, and has a session of its own
        *(() if sandbox.lifeline else ("--die-with-parent", "--new-session")),
        *_system(sandbox.network),
        *("--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"),
        *(word for path in _gpus(sandbox.gpus) for word in ("--dev-bind", str(path), str(path))),
        *("--ro-bind-try", "/sys/devices/system/cpu", "/sys/devices/system/cpu"),
        *(word for bind in binds for word in _words(bind)),
        *("--dir", str(Path.cwd()), "--remount-ro", "/", "--chdir", str(Path.cwd())),
        *("--setenv", "HOME", "/tmp", "--setenv", "TMPDIR", "/tmp"),
        "--",
        *(("prlimit", f"--data={sandbox.memory}", "--") if sandbox.memory else ()),
        *sandbox.command,
    ]


def _gpus(wanted: int) -> list[Path]:
    """Name the devices of NVIDIA's driver; its libraries lie in /usr."""
    return sorted(Path("/dev").glob("nvidia*")) if wanted else []


def _words(bind: Bind) -> tuple[str, str, str]:
    return ("--bind" if bind.mode == "rw" else "--ro-bind", str(bind.source), str(bind.target))


def _system(network: Network) -> Iterator[str]:
    for path in host_programs.links_of_system():
        yield from ("--symlink", str(path.readlink()), str(path))
    for path in host_programs.folders_of_system():
        yield from ("--ro-bind", str(path), str(path))
    for path in host_programs.settings(network):
        yield from ("--ro-bind-try", str(path), str(path))
