"""An environment of its own for each peer, with this one's torch: another copy would take a gigabyte."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

HERE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "suture-peers"
PEERS = {"nvflare": "nvflare==2.9.0", "flower": "flwr==1.42.0"}


class Missing(Exception):
    """Why a peer cannot be measured here; its rows are left out."""


def environment(peer: str) -> Path:
    """Give the folder of a peer's programs, installed if need be.

    Raises:
        Missing: it cannot be installed.
    """
    version = PEERS[peer].replace("==", "-")
    place = CACHE / f"{version}-py{sys.version_info.major}.{sys.version_info.minor}"
    if not (place / "installed").exists():
        _install(place, PEERS[peer])
    shared = "\n".join([sysconfig.get_path("purelib"), str(HERE)])  # torch; the common job
    (packages,) = place.glob("lib/python*/site-packages")
    (packages / "after_its_own.pth").write_text(shared + "\n", encoding="utf-8")
    return place / "bin"


def _install(place: Path, wanted: str) -> None:
    print(f"installing {wanted} into {place} ...", file=sys.stderr, flush=True)
    for words in (
        [sys.executable, "-m", "venv", "--clear", place],
        [place / "bin" / "python", "-m", "pip", "install", "--quiet", wanted],
    ):
        done = subprocess.run(words, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no word"])[-1]
            raise Missing(f"{wanted} cannot be installed here: {last}")
    (place / "installed").touch()


def variables(programs: Path, home: Path) -> dict[str, str]:
    """Give a peer's variables: its programs first, a home of its own, one thread, no telemetry."""
    own = {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "HOME": str(home)}
    quiet = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "FLWR_TELEMETRY_ENABLED": "0"}
    return {**os.environ, **quiet, **own}
