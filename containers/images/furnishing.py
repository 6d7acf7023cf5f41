"""Which image a command runs in, and what changes of a sandbox that has one."""

import json
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from containers.errors import ConfigError
from containers.sandbox import Bind, Sandbox

ROOT = Path(__file__).resolve().parent.parent.parent
# which of Suture's images holds the program of `python -m NAME`
PROGRAMS = {"coordinator": "coordinator", "sites": "site"}
NAMES = tuple(sorted(set(PROGRAMS.values())))
# what only means something on the host
OF_THE_HOST = ("PATH", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "CONDA_PREFIX", "LD_LIBRARY_PATH")
PATH_INSIDE = "/usr/local/bin:/usr/bin:/bin"
WANTED = ("auto", "built", "host")


def folder_of_images() -> Path:
    """Name where built images lie: SUTURE_IMAGE_FOLDER, or ``images`` in this checkout."""
    return Path(os.environ.get("SUTURE_IMAGE_FOLDER") or ROOT / "images").absolute()


def wanted(kind: str) -> bool:
    """Say whether a runtime with this kind of image ('' for none) runs in Suture's own.

    SUTURE_IMAGES, by which a workflow hands on its study's key: ``auto`` where images of this kind were made
    once, ``built`` insists on them, ``host`` (the default by hand) keeps the host's programs.

    Raises:
        ConfigError: an unknown word, or images asked of a runtime that has none.
    """
    word = os.environ.get("SUTURE_IMAGES") or "host"
    if word not in WANTED:
        raise ConfigError(f"SUTURE_IMAGES: found '{word}', expected one of {', '.join(WANTED)}")
    if word == "built" and not kind:
        raise ConfigError(
            "images: built, but this runtime has none; choose apptainer or docker, or images: host"
        )
    return word == "built" or (word == "auto" and bool(kind) and all(map(partial(has, kind), NAMES)))


def has(kind: str, name: str) -> bool:
    """Say whether an image was made in this form, if of an older source."""
    try:
        return kind in built(name)
    except ConfigError:
        return False


def furnished(sandbox: Sandbox, kind: str) -> Sandbox:
    """Give a sandbox the image its command runs in; commands of other programs keep the host's.

    Raises:
        ConfigError: the image has not been built.
    """
    name = PROGRAMS.get(sandbox.command[2]) if sandbox.command[1:2] == ("-m",) else None
    if name is None or not wanted(kind):
        return sandbox
    inside = {key: value for key, value in sandbox.environment.items() if key not in OF_THE_HOST}
    program, *rest = sandbox.command
    return replace(
        sandbox,
        image=str(built(name)[kind]),
        command=("python3" if program == sys.executable else program, *rest),
        # libraries ask for a user's name, which an image cannot look up
        environment={"USER": "suture", **inside, "PATH": PATH_INSIDE},
    )


def built(name: str) -> Mapping[str, Any]:
    """Read what a build wrote of an image: its digest, labels, and each form it was packed in.

    Raises:
        ConfigError: there is none.
    """
    path = folder_of_images() / f"{name}.json"
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        raise ConfigError(f"{path}: the {name} image is not there; build it: make containers") from None


def digests(kind: str) -> dict[str, str]:
    """Name each image's content hash where a runtime runs in images; nothing elsewhere."""
    if not wanted(kind):
        return {}
    return {name: str(built(name)["digest"]) for name in NAMES}


def working_folder(sandbox: Sandbox, binds: Iterable[Bind]) -> Path:
    """Name where the command starts: here, if any of it is shown, so that relative paths mean the same."""
    here = Path.cwd()
    shown = any(bind.target.is_relative_to(here) or here.is_relative_to(bind.target) for bind in binds)
    return here if shown else Path("/")
