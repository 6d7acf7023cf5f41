"""Containers by Apptainer (or Singularity), as clusters have it: no daemon, and no privilege needed.

An image's own programs, or the host's on an otherwise empty root where the sandbox has no image.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator

from containers import host_programs
from containers.images.furnishing import furnished, working_folder
from containers.images.skeleton import skeleton
from containers.runtimes.mounts import mount
from containers.sandbox import Bind, Sandbox, same_place

ISOLATION = (
    "apptainer: each party in a container of its own, with no network, no other party and no file but its "
    "own in sight, on a read-only root, without capabilities"
)
FORKS = False  # what is forked from another's program is inside that one's walls
IMAGES = "sif"
PROBE_SECONDS = 60.0
# what Apptainer would show of the host by itself
UNMOUNTED = "sys,hostfs,home,cwd,devpts,bind-paths"


def problem() -> str:
    """Say why this runtime cannot be used here, or nothing."""
    if not _program():
        return "the program apptainer is missing; install Apptainer"
    try:
        words = argv(Sandbox(command=("true",)))
        done = subprocess.run(
            words, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PROBE_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"apptainer does not run here ({error})"
    said = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
    return f"apptainer cannot build walls here ({said})" if done.returncode else ""


def argv(sandbox: Sandbox) -> list[str]:
    """Return the command line of Apptainer for a sandbox.

    Memory is limited process by process, where a program can say what it lacked, and root's by a control
    group too; others need a delegated group for that. The environment is set by ``env``, since Apptainer's
    own option splits values at commas.
    """
    sandbox = furnished(sandbox, IMAGES)
    binds = [*(() if sandbox.image else _host()), *_shown(sandbox), *sandbox.binds]
    grouped = os.geteuid() == 0
    return [
        _program() or "apptainer",
        *("--silent", "exec", "--containall", "--no-home", "--no-privs", "--no-mount", UNMOUNTED),
        *(() if sandbox.network == "host" else ("--net", "--network", "none")),
        *(("--memory", str(sandbox.memory)) if sandbox.memory and grouped else ()),
        *(("--pids-limit", str(sandbox.pids)) if sandbox.pids and grouped else ()),
        *(("--nv",) if sandbox.gpus else ()),
        *(word for bind in binds for word in ("--mount", mount(bind))),
        *("--pwd", str(working_folder(sandbox, binds))),
        str(sandbox.image or skeleton()),
        *("/usr/bin/env", "-i", *_variables(sandbox)),
        *(("prlimit", f"--data={sandbox.memory}", "--") if sandbox.memory else ()),
        *sandbox.command,
    ]


def _program() -> str | None:
    return shutil.which("apptainer") or shutil.which("singularity")


def _host() -> Iterator[Bind]:
    yield from map(same_place, host_programs.folders_of_system())


def _shown(sandbox: Sandbox) -> Iterator[Bind]:
    if not sandbox.image:
        yield from (same_place(path) for path in host_programs.settings(sandbox.network) if path.exists())
        yield from host_programs.interpreter()
        yield from host_programs.code(sandbox.command)


def _variables(sandbox: Sandbox) -> Iterator[str]:
    inside = {**sandbox.environment, "HOME": "/tmp", "TMPDIR": "/tmp"}
    inside.setdefault("PATH", os.defpath)
    yield from (f"{name}={value}" for name, value in inside.items())
