"""Packs an image's tree for a runtime: as a SIF file for Apptainer, or into Docker's store."""

import os
import platform
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from containers.errors import ConfigError
from containers.images.base import base_root, key, program, run
from containers.images.recipe import SUTURE, USER, Recipe

Pack = Callable[[Recipe, Path, Mapping[str, str], str], str]
# a stronger level takes ten times as long for two per cent; blocks of 1 MiB are three per cent smaller, but
# each container unpacks them whole for any page its imports touch: 1.5 CPU seconds of a start, with these .9
QUICK = "-comp zstd -Xcompression-level 6 -b 512K"
ARCHITECTURES: Final = {"x86_64": "2", "aarch64": "4"}  # as SIF numbers them


def pack_sif(recipe: Recipe, folder: Path, labels: Mapping[str, str], digest: str) -> str:
    """Write ``NAME.sif``: the base's file with our layer as an overlay in it; returns its path."""
    base = base_root(recipe, folder).with_suffix(".sif")
    if not base.exists():
        words = [
            "build",
            "--force",
            "--mksquashfs-args",
            QUICK,
            str(base) + ".partial",
            str(base.with_suffix("")),
        ]
        run([_apptainer(), "--silent", *words])
        Path(str(base) + ".partial").rename(base)
    layer, partial, target = (folder / f"{recipe.name}{end}" for end in (".sqfs", ".sif.partial", ".sif"))
    _squash(recipe, folder, layer)
    shutil.copyfile(base, partial)
    # a file system (4) of squashfs (1), laid over the root (4), in its group (1)
    kind = ["--datatype", "4", "--partfs", "1", "--parttype", "4", "--groupid", "1"]
    arch = ["--partarch", ARCHITECTURES.get(platform.machine(), "1")]
    run([_apptainer(), "sif", "add", *kind, *arch, str(partial), str(layer)])
    partial.chmod(0o644)
    partial.rename(target)
    layer.unlink()
    return str(target)


def _squash(recipe: Recipe, folder: Path, layer: Path) -> None:
    """Put our packages into a file system of their own, under their place in the image."""
    tree = folder / f".layer-{recipe.name}"
    shutil.rmtree(tree, ignore_errors=True)
    (tree / SUTURE).parent.mkdir(parents=True)
    run(["cp", "--archive", "--link", str(folder / "root" / recipe.name / SUTURE), str(tree / SUTURE)])
    run(
        [
            program("mksquashfs", "squashfs-tools"),
            str(tree),
            str(layer),
            "-quiet",
            "-noappend",
            "-all-root",
        ]
    )
    shutil.rmtree(tree)


def pack_docker(recipe: Recipe, folder: Path, labels: Mapping[str, str], digest: str) -> str:
    """Load an image into Docker's store, our packages as a layer on the base; returns its name."""
    base = f"suture-{recipe.name}-base:{key()}"
    if not run([*docker(), "images", "--quiet", base]).strip():
        archive = folder / f".{recipe.name}-base.tar"
        _archive(base_root(recipe, folder), ".", archive)
        run([*docker(), "import", str(archive), base])
        archive.unlink()
    name = f"suture-{recipe.name}:{digest[:16]}"
    layer = folder / f".{recipe.name}-layer.tar"
    _archive(folder / "root" / recipe.name, SUTURE, layer)
    made = run([*docker(), "create", base, "true"]).strip()
    try:
        run(["sh", "-c", '"$@" < "$0"', str(layer), *docker(), "cp", "-", f"{made}:/"])
        changes = [f"USER {USER}", *(f"LABEL {key}={_quoted(value)}" for key, value in labels.items())]
        run([*docker(), "commit", *(word for change in changes for word in ("--change", change)), made, name])
    finally:
        run([*docker(), "rm", made])
        layer.unlink()
    return name


def _in_docker(name: str) -> bool:
    try:
        return bool(name and run([*docker(), "images", "--quiet", name]).strip())
    except ConfigError:  # no daemon answers, so it holds nothing for us
        return False


def docker() -> list[str]:
    """Name Docker's program, and the daemon that the environment asks for."""
    return [
        program("docker", "docker.io"),
        *(("--host", host) if (host := os.environ.get("DOCKER_HOST")) else ()),
    ]


def _archive(root: Path, name: str, target: Path) -> None:
    owner = ("--owner=0", "--group=0", "--numeric-owner", "--sort=name")
    run(["tar", "--create", *owner, "--file", str(target), "--directory", str(root), name])


def _quoted(text: str) -> str:
    return '"' + text.replace('"', "'") + '"'


def _apptainer() -> str:
    return shutil.which("singularity") or program("apptainer", "apptainer")


PACKS: Final[Mapping[str, Pack]] = {"sif": pack_sif, "docker": pack_docker}
HELD: Final[Mapping[str, Callable[[str], bool]]] = {
    "sif": lambda name: bool(name) and Path(name).is_file(),
    "docker": _in_docker,
}
