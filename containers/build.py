"""``python -m containers build``: Suture's images, for the runtimes that take them.

Does nothing where they hold this source already; the base is made once for a requirements.txt.
"""

import argparse
import fcntl
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from containers.errors import ConfigError
from containers.images import furnishing
from containers.images.base import build_bases, key
from containers.images.manifest import digest
from containers.images.packing import HELD, PACKS
from containers.images.recipe import RECIPES, Recipe
from containers.images.source import content, labels, whole_root
from containers.runtimes import RUNTIMES, add_runtime, choose


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_runtime(parser)
    parser.add_argument(
        "--for", dest="kinds", action="append", choices=sorted(PACKS), default=[],
        help="pack for Apptainer (sif) or Docker, whatever runtime would be chosen",
    )  # fmt: skip
    parser.add_argument("--if-wanted", action="store_true", help="only where SUTURE_IMAGES asks for images")


def run(options: argparse.Namespace) -> int:
    """Build what is missing; returns 0.

    Raises:
        ConfigError: a program is missing or fails, or the chosen runtime takes no image.
    """
    kinds = options.kinds or [RUNTIMES[choose(options.runtime)].IMAGES]
    if options.if_wanted and not furnishing.wanted(kinds[0]):
        return 0
    if not all(kinds):
        raise ConfigError("the runtime chosen here takes no image; name one: --for sif, or --for docker")
    folder = furnishing.folder_of_images()
    with alone_in(folder):
        for recipe in RECIPES.values():
            missing = [kind for kind in kinds if not there(recipe, folder, kind)]
            if missing:
                build(recipe, folder, missing)
    return 0


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Let one build at a time work in a folder; a second one then finds the first one's images."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def there(recipe: Recipe, folder: Path, kind: str) -> dict[str, Any]:
    """Read of an image that holds this source, on this base, in a form; nothing if there is none."""
    try:
        found = json.loads((folder / f"{recipe.name}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    packed = HELD[kind](found.get(kind, ""))
    return dict(found) if found.get("labels") == labels(recipe) and packed else {}


def build(recipe: Recipe, folder: Path, kinds: list[str]) -> None:
    """Build one image, and write down what it is."""
    began = time.monotonic()
    say(f"{recipe.name}: building the image (the base first, where requirements.txt is new: some minutes)")
    build_bases(folder)
    root, named = whole_root(recipe, folder), labels(recipe)
    lines = content(recipe, folder)
    (folder / f"{recipe.name}.manifest").write_text("\n".join(lines) + "\n", encoding="utf-8")
    kept = {
        kind: found[kind] for kind in PACKS if kind not in kinds and (found := there(recipe, folder, kind))
    }
    packed = {kind: PACKS[kind](recipe, folder, named, digest(lines)) for kind in kinds}
    record = {"digest": digest(lines), "files": len(lines), "labels": named, **kept, **packed}
    partial = folder / f"{recipe.name}.json.partial"
    partial.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    partial.rename(folder / f"{recipe.name}.json")
    say(f"{recipe.name}: {size(root)} unpacked, {', '.join(described(*item) for item in packed.items())}, "
        f"in {time.monotonic() - began:.0f} s; content {digest(lines)[:16]}, base {key()}")  # fmt: skip


def described(kind: str, where: str) -> str:
    """Name a packed image, with its size where it is a file."""
    return f"{where} ({Path(where).stat().st_size / 1e6:.0f} MB)" if kind == "sif" else where


def size(root: Path) -> str:
    """Tell a tree's size."""
    total = sum(path.lstat().st_size for path in root.rglob("*") if not path.is_dir())
    return f"{total / 1e6:.0f} MB"


def say(text: str) -> None:
    """Tell where a build stands."""
    print(f"containers build: {text}", file=sys.stderr, flush=True)
