"""Which source files a program really uses, found by walking its imports without running it."""

import ast
from collections.abc import Iterable
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("coordinator", "sites", "containers")


def used_by(modules: Iterable[str]) -> list[str]:
    """List the files that the modules import, late imports and package files included.

    Returns paths relative to the repository's root, sorted. A module chosen by a registry at run
    time is not seen: name it beside the entry module.
    """
    found: dict[str, Path] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        path = None if name in found else _file_of(name)
        if path is None:
            continue
        found[name] = path
        waiting += [*_parents(name), *imports_of(path)]
    return sorted(str(path.relative_to(ROOT)) for path in found.values())


@cache
def imports_of(path: Path) -> tuple[str, ...]:
    """Name every module of ours that a file imports, anywhere in it."""
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            # `from package import name` may mean a module of that package
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return tuple(name for name in names if name.split(".")[0] in PACKAGES)


def _file_of(module: str) -> Path | None:
    path = ROOT.joinpath(*module.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


def _parents(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[:length]) for length in range(1, len(parts))]
