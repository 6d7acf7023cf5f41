"""Every file of a root tree by path, mode and content: what makes two builds equal."""

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path


def manifest(root: Path) -> list[str]:
    """List a tree, sorted: path, mode, and a file's sha256, a link's target, or / for a folder."""
    return sorted(_line(root, path) for path in _walk(root))


def digest(lines: list[str]) -> str:
    """Hash a manifest (sha256, hex): an image's content hash."""
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()


def settle(root: Path) -> None:
    """Give all files the modes and the time that any build gives them, whatever its umask."""
    for path in _walk(root):
        if not path.is_symlink():
            executable = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
            path.chmod(0o755 if executable else 0o644)
        os.utime(path, (0, 0), follow_symlinks=False)


def _walk(root: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(root):
        yield from (Path(folder, name) for name in (*folders, *files))


def _line(root: Path, path: Path) -> str:
    found = path.lstat()
    name, mode = path.relative_to(root).as_posix(), f"{stat.S_IMODE(found.st_mode):04o}"
    if stat.S_ISLNK(found.st_mode):
        return f"{name} {mode} -> {path.readlink()}"
    if stat.S_ISREG(found.st_mode):
        with path.open("rb") as file:
            return f"{name} {mode} {hashlib.file_digest(file, 'sha256').hexdigest()}"
    return f"{name} {mode} /"
