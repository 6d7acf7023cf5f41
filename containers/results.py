"""What a finished run hands over: the parties' final files, complete before the first one appears."""

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from containers.errors import ConfigError
from containers.gang import Gang


def collect(gang: Gang, isolation: Mapping[str, Any]) -> None:
    """Replace the content of the results folder by every party's ``out/`` and ``isolation.json``.

    The folder itself stays, since Snakemake has made it; each file is renamed into place, so that
    a reader finds an old file or a new one, never half a file.

    Raises:
        ConfigError: two parties hand over the same file, or something that is not a plain file.
    """
    gang.results.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{gang.results.name}.partial-", dir=gang.results.parent))
    try:
        for party in gang.parties:
            _copy(gang.state / party / "out", partial)
        (partial / "isolation.json").write_text(json.dumps(isolation) + "\n", encoding="utf-8")
        _move(partial, gang.results)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _copy(out: Path, partial: Path) -> None:
    for source in sorted(out.rglob("*")):
        target = partial / source.relative_to(out)
        if source.is_dir() and not source.is_symlink():
            continue
        if source.is_symlink() or not source.is_file():
            raise ConfigError(
                f"{source}: is not a plain file, and only plain files become results; remove it"
            )
        if target.exists():
            raise ConfigError(
                f"{source}: another party hands over a file of this name; a party must rename its own"
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def _move(partial: Path, results: Path) -> None:
    fresh = {path.relative_to(partial) for path in partial.rglob("*") if path.is_file()}
    _remove_stale(results, fresh)
    isolation_last = sorted(fresh, key=lambda name: (name.name == "isolation.json", name))
    for name in isolation_last:  # so its presence means that everything is there
        (results / name).parent.mkdir(parents=True, exist_ok=True)
        (partial / name).replace(results / name)


def _remove_stale(results: Path, fresh: set[Path]) -> None:
    kept = {parent for name in fresh for parent in name.parents}
    for path in sorted(results.rglob("*"), reverse=True):  # children before their folder
        name = path.relative_to(results)
        if path.is_dir() and not path.is_symlink():
            if name not in kept:
                path.rmdir()
        elif name not in fresh:
            path.unlink()
