"""Containers by Docker's daemon (podman's command line is the same).

An image's own programs, or the host's on an otherwise empty root where the sandbox has no image.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from containers import host_programs
from containers.images.furnishing import furnished, working_folder
from containers.images.skeleton import skeleton
from containers.runtimes.mounts import mount
from containers.sandbox import Bind, Sandbox, same_place

ISOLATION = (
    "docker: each party in a container of its own, with no network, no other party and no file but its "
    "own in sight, on a read-only root, without capabilities"
)
FORKS = False  # what is forked from another's program is inside that one's walls
IMAGES = "docker"
SKELETON = "suture-skeleton:1"
SHARED_MEMORY = 2**30  # Docker's own 64 MB are too few for tensors that processes share
PROBE_SECONDS = 60.0
ATTENDING = Path(__file__).with_name("attending.py")


def problem() -> str:
    """Say why this runtime cannot be used here, or nothing; the empty root is given to the daemon once."""
    if not _program():
        return "the program docker is missing; install Docker"
    try:
        done = _load_skeleton()
        done = done if done.returncode else _ask(*argv(Sandbox(command=("true",))))
    except (OSError, subprocess.SubprocessError) as error:
        return f"docker does not run here ({error})"
    return (
        f"docker cannot build walls here ({_first(done)}); is its daemon running?" if done.returncode else ""
    )


def argv(sandbox: Sandbox) -> list[str]:
    """Return the command line of Docker's client for a sandbox, and of what ends the container after it."""
    sandbox = furnished(sandbox, IMAGES)
    binds = [*(() if sandbox.image else _host(sandbox)), *sandbox.binds]
    return [
        *(sys.executable, "-I", "-S", str(ATTENDING), *_client(), "run"),
        *("--rm", "--interactive", "--init", "--read-only", "--tmpfs", "/tmp:exec,mode=1777"),
        *("--user", f"{os.getuid()}:{os.getgid()}", "--hostname", "sandbox"),
        *("--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--shm-size", str(SHARED_MEMORY)),
        *("--network", sandbox.network, "--log-driver", "none"),
        *(("--memory", str(sandbox.memory), "--memory-swap", str(sandbox.memory)) if sandbox.memory else ()),
        *(("--cpus", str(sandbox.cpus)) if sandbox.cpus else ()),
        *(("--pids-limit", str(sandbox.pids)) if sandbox.pids else ()),
        *(_gpus() if sandbox.gpus else ()),
        *(word for bind in binds for word in ("--mount", mount(bind))),
        *("--workdir", str(working_folder(sandbox, binds))),
        *(word for variable in _variables(sandbox) for word in ("--env", variable)),
        *("--entrypoint", "", sandbox.image or SKELETON),
        *(("prlimit", f"--data={sandbox.memory}", "--") if sandbox.memory else ()),
        *sandbox.command,
    ]


def _program() -> str | None:
    return shutil.which("docker") or shutil.which("podman")


def _client() -> list[str]:
    """Name the client, and the daemon that the environment asks for."""
    host = os.environ.get("DOCKER_HOST")
    return [_program() or "docker", *(("--host", host) if host else ())]


def _gpus() -> tuple[str, str]:
    """Show the GPUs; which of them a party takes, CUDA_VISIBLE_DEVICES says."""
    podman = Path(_program() or "docker").name == "podman"
    return ("--device", "nvidia.com/gpu=all") if podman else ("--gpus", "all")


def _ask(*words: str, sent: bytes = b"") -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(words, cwd="/", capture_output=True, input=sent, timeout=PROBE_SECONDS)
    return subprocess.CompletedProcess(words, done.returncode, done.stdout.decode(), done.stderr.decode())


def _first(done: "subprocess.CompletedProcess[str]") -> str:
    return (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[0]


def _load_skeleton() -> "subprocess.CompletedProcess[str]":
    known = _ask(*_client(), "images", "--quiet", SKELETON)
    if known.returncode == 0 and not known.stdout.strip():
        # /sbin is left to Docker, which puts its init there
        tar = (
            "tar",
            "--create",
            "--owner=0",
            "--group=0",
            "--directory",
            str(skeleton()),
            "--exclude=./sbin",
            ".",
        )
        archive = subprocess.run(tar, capture_output=True, check=True).stdout
        return _ask(*_client(), "import", "-", SKELETON, sent=archive)
    return known


def _host(sandbox: Sandbox) -> Iterator[Bind]:
    yield from map(same_place, host_programs.folders_of_system())
    yield from (same_place(path) for path in host_programs.settings(sandbox.network) if path.exists())
    yield from host_programs.interpreter()
    yield from host_programs.code(sandbox.command)


def _variables(sandbox: Sandbox) -> Iterator[str]:
    inside = {**sandbox.environment, "HOME": "/tmp", "TMPDIR": "/tmp"}
    yield from (f"{name}={value}" for name, value in inside.items())
