"""A folder that appears whole or not at all."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replaced(folder: Path) -> Iterator[Path]:
    """Give an empty folder to fill; on success it takes the place of `folder`, on an error it is removed.

    A folder that a sandbox has mounted has no place beside it: its content is replaced instead.
    """
    if folder.is_mount():
        with _filled(folder) as partial:
            yield partial
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
        # a rename onto a folder fails unless that is empty, so the old content goes first
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def _filled(folder: Path) -> Iterator[Path]:
    _empty(folder)
    partial = folder / ".partial"
    partial.mkdir()
    try:
        yield partial
        for path in sorted(partial.iterdir()):
            path.rename(folder / path.name)
    except BaseException:
        _empty(folder)
        raise
    partial.rmdir()


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
