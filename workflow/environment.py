"""Makes the `.venv` that every command runs in, from pinned requirements; needs only Python itself.

Does nothing where the environment is sound: its stamp names these requirements, this folder and this
Python, and what it should hold is found. Otherwise builds it anew; the stamp is written last, so
an interrupted build is never taken for a whole one.

Reads TORCH_INDEX (one more package index, for another build of torch) and WHEELS (a folder of wheels; the
network is then not used) from the environment.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ("requirements.txt", "requirements-dev.txt")
OLDEST = (3, 11)
NAMES = (
    *(
        "altair",
        "coordinator",
        "gdcm",
        "jinja2",
        "meds",
        "msgspec",
        "nacl",
        "numpy",
        "pandas",
        "PIL",
        "pyarrow",
    ),
    *(
        "pydantic",
        "pydicom",
        "pytest",
        "rich",
        "safetensors",
        "scipy",
        "setproctitle",
        "sklearn",
        "snakemake",
    ),
    *("torch", "vl_convert", "yaml", "zmq"),
)


def main() -> int:
    """Build the environment if it is missing, stale or broken; returns the exit status."""
    lacking = what_is_lacking()
    if lacking:
        print(lacking, file=sys.stderr)
        return 2
    folder = ROOT / ".venv"
    with open(ROOT / REQUIREMENTS[0]) as held:  # of two builds at once, the second finds the first's
        fcntl.flock(held, fcntl.LOCK_EX)
        wanted = stamp(folder)
        reason = why_rebuild(folder, wanted)
        return build(folder, wanted, reason, held.fileno()) if reason else 0


def what_is_lacking() -> str:
    """Say in one sentence what this machine must install first, or nothing."""
    if sys.version_info < OLDEST:
        needed, found = ".".join(map(str, OLDEST)), platform.python_version()
        return f"Python {found} is too old, {needed} or newer is needed: make PYTHON=/path/to/newer/python3"
    if importlib.util.find_spec("ensurepip") is None:
        return "Python cannot make environments on this machine: apt-get install python3-venv"
    return ""


def stamp(folder: Path) -> str:
    """Hash what an environment is made from (sha256, hex)."""
    made_from = hashlib.sha256()
    for name in REQUIREMENTS:
        made_from.update((ROOT / name).read_bytes())
    for part in (
        platform.python_version(),
        platform.machine(),
        str(folder),
        os.environ.get("TORCH_INDEX", ""),
    ):
        made_from.update(b"\0" + part.encode())
    return made_from.hexdigest()


def why_rebuild(folder: Path, wanted: str) -> str:
    """Say why the environment cannot be used as it is, or nothing."""
    if not folder.exists():
        return "there is none yet"
    try:
        if (folder / "stamp").read_text(encoding="utf-8") != wanted:
            return "it was made from other requirements, or by another Python"
    except OSError:
        return "its last build did not end"
    return "" if holds(folder) else "it is broken"


def holds(folder: Path) -> bool:
    """Look whether the environment's Python runs and finds what it should hold.

    It imports nothing, which would take seconds at every command; a build ends with the imports.
    """
    # a folder that lost its files is still found, but not what it comes from
    found = f"all((spec := find_spec(name)) and spec.origin for name in {NAMES})"
    find = f"from importlib.util import find_spec; raise SystemExit(not {found})"
    try:
        done = subprocess.run([python_of(folder), "-c", find], cwd=folder, capture_output=True)
    except OSError:
        return False
    return done.returncode == 0


def imports(folder: Path) -> bool:
    """Import what the environment should hold; the error is shown."""
    probe = "import " + ", ".join(NAMES)
    return subprocess.run([python_of(folder), "-c", probe], cwd=folder).returncode == 0


def build(folder: Path, wanted: str, reason: str, lock: int) -> int:
    """Make the environment anew; returns the exit status.

    The programs it starts hold the lock too: one that outlives this process keeps others waiting.
    """
    print(f"making {folder.name} ({reason}); this takes some minutes", flush=True)
    (folder / "stamp").unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    try:
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, pass_fds=[lock])
        pip = [python_of(folder), "-m", "pip", *pip_arguments(os.environ)]
        subprocess.run(pip, check=True, pass_fds=[lock])
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"the environment could not be made: {error}; the lines above say why", file=sys.stderr)
        return 1
    link_checkout(folder)
    if not imports(folder):
        print("the environment was made and does not work; the lines above say why", file=sys.stderr)
        return 1
    partial = folder / "stamp.partial"
    partial.write_text(wanted, encoding="utf-8")
    partial.rename(folder / "stamp")
    return 0


def pip_arguments(outside: Mapping[str, str]) -> list[str]:
    """Name what pip installs and where from."""
    arguments = ["install", "-qq", "--disable-pip-version-check"]
    if outside.get("WHEELS"):
        arguments += ["--no-index", "--find-links", str(Path(outside["WHEELS"]).resolve())]
    if outside.get("TORCH_INDEX"):
        arguments += ["--extra-index-url", outside["TORCH_INDEX"]]
    for name in REQUIREMENTS:
        arguments += ["--requirement", str(ROOT / name)]
    return arguments


def link_checkout(folder: Path) -> None:
    """Make this checkout's packages importable from any working directory."""
    ask = [python_of(folder), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    packages = subprocess.run(ask, capture_output=True, text=True, check=True).stdout.strip()
    Path(packages, "suture.pth").write_text(f"{ROOT}\n", encoding="utf-8")


def python_of(folder: Path) -> str:
    """Name the environment's own Python."""
    return str(folder / "bin" / "python")


if __name__ == "__main__":
    sys.exit(main())
