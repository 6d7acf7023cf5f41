"""The base of the images: an interpreter and pinned wheels, made where no image registry can be reached.

It depends on requirements.txt and the recipe alone, so a commit of ours leaves it as it is.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from containers.errors import ConfigError
from containers.images import closure
from containers.images.manifest import settle
from containers.images.recipe import (
    COMPILE,
    COORDINATOR,
    DEBIAN,
    PYTHON,
    RELEASE,
    SITE,
    STRIP,
    STRIPPED,
    SUTURE,
    TRIMMED,
    WHEELS,
    Recipe,
)

ROOT = Path(__file__).resolve().parent.parent.parent
PINS = ROOT / "requirements.txt"
HERE = Path(__file__).parent
# what else a base is made by; a change there makes another one
MADE_BY = (PINS, HERE / "recipe.py", HERE / "base.py", HERE / "closure.py", HERE / "manifest.py")
FIXED = {"SOURCE_DATE_EPOCH": "0", "PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8"}


def key() -> str:
    """Hash what the bases are made from (16 hex digits)."""
    content = hashlib.sha256()
    for path in MADE_BY:
        content.update(path.read_bytes() + b"\0")
    return content.hexdigest()[:16]


def base_root(recipe: Recipe, folder: Path) -> Path:
    """Name where an image's base lies unpacked."""
    return folder / f"base-{key()}" / recipe.name


def build_bases(folder: Path) -> None:
    """Build both bases in a folder, unless they are there; the site's holds all wheels.

    Raises:
        ConfigError: a program is missing or fails.
    """
    if (folder / f"base-{key()}").is_dir():
        return
    partial = folder / f".base-{key()}"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    site, coordinator = partial / SITE.name, partial / COORDINATOR.name
    unpack_interpreter(site)
    install_wheels(site)
    trim(site)
    strip(site)
    precompile(site, WHEELS, f"usr/lib/python{PYTHON}")
    settle(site)
    copy_less(site, coordinator)
    for former in folder.glob(
        "base-*"
    ):  # what another requirements.txt made; an image keeps its own by links
        shutil.rmtree(former)
    partial.rename(folder / f"base-{key()}")


def unpack_interpreter(root: Path) -> None:
    """Extract Debian's packages; nothing in them has to be configured for Python to run."""
    tool = program("mmdebstrap", "mmdebstrap")
    archive = root.with_suffix(".tar")
    options = ("--variant=extract", "--skip=output/dev", f"--include={','.join(DEBIAN)}")
    run([tool, "--quiet", *options, RELEASE, str(archive)])
    root.mkdir()
    run(["tar", "--extract", "--no-same-owner", "--file", str(archive), "--directory", str(root)])
    archive.unlink()
    for name in ("passwd", "group"):  # what configuring base-passwd would do
        shutil.copyfile(root / f"usr/share/base-passwd/{name}.master", root / "etc" / name)
    run(["ldconfig", "-r", str(root)])


def install_wheels(root: Path) -> None:
    """Install the wheels for the image's Python by the builder's pip, uncompiled."""
    image = ("--python-version", PYTHON, "--implementation", "cp", "--abi", f"cp{PYTHON.replace('.', '')}")
    words = [
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-compile",
        "--only-binary=:all:",
        *image,
    ]
    if wheels := os.environ.get("WHEELS"):
        words += ["--no-index", "--find-links", str(Path(wheels).resolve())]
    if index := os.environ.get("TORCH_INDEX"):
        words += ["--extra-index-url", index]
    words += ["--constraint", str(PINS), "--target", str(root / WHEELS), *SITE.distributions]
    run([sys.executable, "-m", "pip", *words])
    (root / WHEELS / "suture.pth").write_text(f"/{SUTURE}\n", encoding="utf-8")


def trim(root: Path) -> None:
    """Delete what no program of ours reads."""
    for pattern in TRIMMED:
        for path in sorted(root.glob(pattern), reverse=True):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()


def strip(root: Path) -> None:
    """Take from large libraries what only a debugger reads."""
    found = sorted({path.resolve() for pattern in STRIPPED for path in root.glob(pattern)})
    run([program(STRIP[0], "binutils"), *STRIP[1:], *map(str, found)])


def precompile(root: Path, *folders: str) -> None:
    """Compile Python files by the image's own Python; imports take two seconds longer otherwise.

    One process, in order and by content hash: what a compiled file holds depends on what was compiled before.
    """
    words = [*COMPILE, *(f"/{name}" for name in folders)]
    enter = ("bwrap", "--bind", str(root), "/", "--dev", "/dev", "--proc", "/proc", "--unshare-all", "--")
    done = [program("chroot", "coreutils"), str(root)] if os.geteuid() == 0 else list(enter)
    run([*done, "/usr/bin/python3", *words], allowed=(0, 1))  # 1: a wheel holds a file for other Pythons


def copy_less(site: Path, coordinator: Path) -> None:
    """Copy the site's base by links, without the distributions that the coordinator does not need."""
    run(["cp", "--archive", "--link", str(site), str(coordinator)])
    wheels = coordinator / WHEELS
    for path in closure.files_beyond(wheels, closure.needed(wheels, COORDINATOR.distributions)):
        path.unlink(missing_ok=True)
        for compiled in path.parent.glob(f"__pycache__/{path.stem}.*.pyc"):
            compiled.unlink()
    _delete_empty(wheels)
    settle(coordinator)


def _delete_empty(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink() and not any(path.iterdir()):
            path.rmdir()


def program(name: str, package: str) -> str:
    """Find a program that building needs.

    Raises:
        ConfigError: it is missing.
    """
    if found := shutil.which(name):
        return found
    raise ConfigError(f"images cannot be built here: {name} is missing; install it (Debian: {package})")


def run(words: Sequence[str], *, allowed: tuple[int, ...] = (0,)) -> str:
    """Run one step of a build; returns what it printed.

    Raises:
        ConfigError: it failed.
    """
    environment = {**os.environ, **FIXED}
    done = subprocess.run(list(words), capture_output=True, text=True, env=environment, check=False)
    if done.returncode not in allowed:
        last = "\n".join((done.stderr or done.stdout).strip().splitlines()[-5:])
        raise ConfigError(
            f"{Path(words[0]).name} failed (exit status {done.returncode}) while building:\n{last}"
        )
    return done.stdout
