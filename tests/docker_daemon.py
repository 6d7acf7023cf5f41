"""A Docker daemon of the tests' own, where they ask for Docker and none answers; gone with them."""

import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from containers.runtimes import problem

PR_SET_PDEATHSIG = 1
UP_SECONDS = 60.0


@contextmanager
def daemon() -> Iterator[None]:
    """Have a daemon answer where it can be had: the machine's, or one started here with all it keeps."""
    if not problem("docker") or os.geteuid() != 0 or not shutil.which("dockerd"):
        yield
        return
    folder = Path(tempfile.mkdtemp(prefix="st-docker-", dir="/tmp"))
    started = start(folder)
    os.environ["DOCKER_HOST"] = f"unix://{folder}/socket"
    try:
        wait(folder, started)
        problem.cache_clear()
        yield
    finally:
        del os.environ["DOCKER_HOST"]
        started.terminate()
        started.wait()
        problem.cache_clear()
        subprocess.run(
            ["umount", folder / "run" / "netns" / "default"], capture_output=True
        )  # it leaves that
        shutil.rmtree(folder)


def start(folder: Path) -> "subprocess.Popen[bytes]":
    """Start a daemon that dies with the tests, whatever ends them, and touches no firewall."""
    libc = ctypes.CDLL(None)
    options = {"host": f"unix://{folder}/socket", "data-root": folder / "data", "exec-root": folder / "run"}
    words = [f"--{name}={value}" for name, value in options.items()]
    words += [f"--pidfile={folder}/pid", "--iptables=false", "--ip6tables=false", "--bridge=none"]
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            ["dockerd", *words], stdout=log, stderr=log,
            preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM)),
        )  # fmt: skip


def wait(folder: Path, started: "subprocess.Popen[bytes]") -> None:
    """Wait until it answers; the bound is generous."""
    give_up = time.monotonic() + UP_SECONDS
    while subprocess.run(["docker", "info"], capture_output=True).returncode:
        log = (folder / "log").read_text(errors="replace")
        assert started.poll() is None, f"dockerd ended: {log[-2000:]}"
        assert time.monotonic() < give_up, f"dockerd does not answer: {log[-2000:]}"
        time.sleep(0.1)
