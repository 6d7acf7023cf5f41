"""A site's own layer over the shared image: its config, read-only, and nothing else.

A container of a site is that image with this layer. It is one small folder, which any runtime binds into its
place, and the same content as a file system for whoever starts Apptainer by hand. What a hospital keeps to
itself (records, keys, policy) is bound from its own folder and never in here.
"""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from containers.errors import ConfigError
from containers.images.base import run
from containers.images.furnishing import folder_of_images
from containers.images.manifest import digest, manifest, settle
from containers.sandbox import Bind

PLACE: Final = Path("/etc/suture")  # inside
CONFIG: Final = "site.yaml"
LARGEST: Final = 64 * 1024  # bytes; a site's config is a few hundred, and records are not for images


def folder_of_layers() -> Path:
    """Name where layers lie: SUTURE_LAYERS, by which a workflow hands on its own, or beside the images."""
    given = os.environ.get("SUTURE_LAYERS")
    return Path(given).absolute() if given else folder_of_images() / "sites"


def lay(site: str, config: Path, folder: Path) -> Path:
    """Write a site's layer, unless it is there; returns its tree, as it lies over the image's root.

    Raises:
        ConfigError: the config cannot be read, or is no config by its size.
    """
    tree, packed = folder / site, folder / f"{site}.sqfs"
    found, content = tree / PLACE.relative_to("/") / CONFIG, _read(config)
    if not found.is_file() or found.read_bytes() != content:
        packed.unlink(missing_ok=True)
        shutil.rmtree(tree, ignore_errors=True)
        found.parent.mkdir(parents=True)
        found.write_bytes(content)
        settle(tree)
    if not packed.is_file():
        _squash(tree, packed)
    return tree


def _read(config: Path) -> bytes:
    try:
        content = config.read_bytes()
    except OSError as error:
        raise ConfigError(f"{config}: cannot be read ({error.strerror}); name a site's file") from None
    if len(content) > LARGEST:
        raise ConfigError(f"{config}: {len(content)} bytes are no site's config; name a site's file")
    return content


def _squash(tree: Path, target: Path) -> None:
    """Write the same content as a file system where the program for it is there."""
    if tool := shutil.which("mksquashfs"):
        partial = target.with_suffix(".partial")
        run([tool, str(tree), str(partial), "-quiet", "-noappend", "-all-root"])
        partial.rename(target)


def binds_of(site: str) -> tuple[Bind, ...]:
    """Show a site's layer in its place, where the site has one."""
    source = folder_of_layers() / site / PLACE.relative_to("/")
    return (Bind(source, PLACE),) if (source / CONFIG).is_file() else ()


def digests_of(sites: Iterable[str]) -> dict[str, str]:
    """Name the content hash of each site's layer, of those that have one."""
    folder = folder_of_layers()
    return {site: digest(manifest(folder / site)) for site in sites if binds_of(site)}
