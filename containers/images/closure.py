"""Which installed distributions some of them need, and what belongs to none of these."""

from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from containers.images.recipe import PYTHON

# the image's Python, not the builder's
MARKERS = {"python_version": PYTHON, "python_full_version": f"{PYTHON}.0", "extra": ""}


def needed(folder: Path, names: Iterable[str]) -> set[str]:
    """Name what distributions and their dependencies are, of those installed in a folder."""
    installed = {str(canonicalize_name(found.name)): found for found in distributions(path=[str(folder)])}
    waiting, seen = [str(canonicalize_name(name)) for name in names], set[str]()
    while waiting:
        name = waiting.pop()
        if name not in seen and name in installed:
            seen.add(name)
            waiting += _dependencies(installed[name])
    return seen


def files_beyond(folder: Path, kept: set[str]) -> Iterator[Path]:
    """Name each file that belongs to an installed distribution not kept, and to no kept one."""
    files: dict[bool, set[Path]] = {True: set(), False: set()}
    for found in distributions(path=[str(folder)]):
        files[canonicalize_name(found.name) in kept] |= {folder / str(path) for path in found.files or ()}
    yield from sorted(files[False] - files[True])


def _dependencies(found: Distribution) -> Iterator[str]:
    for text in found.requires or ():
        wanted = Requirement(text)
        if wanted.marker is None or wanted.marker.evaluate(MARKERS):
            yield str(canonicalize_name(wanted.name))
