"""``python -m containers layers``: each site's own layer over the shared image, from its config alone.

Kilobytes a site, whatever the image: nothing of that is read, copied or built anew.
"""

import argparse
import sys
from pathlib import Path

from containers.build import alone_in
from containers.errors import ConfigError
from containers.gang import POOLED, SAFE_NAME
from containers.images.layer import digests_of, folder_of_layers, lay


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "files", nargs="+", metavar="[SITE=]FILE", help="a site's config, named as its file if not here"
    )  # fmt: skip
    parser.add_argument("--quiet", action="store_true", help="say nothing of what was laid")


def run(options: argparse.Namespace) -> int:
    """Write each site's layer; returns 0.

    Raises:
        ConfigError: a file is missing or no site's config, or a site is named twice.
    """
    found = [named(text) for text in options.files]
    sites = dict(found)
    if len(sites) < len(found):
        raise ConfigError("a site is named twice; name each once")
    folder = folder_of_layers()
    with alone_in(folder):
        for site, config in sites.items():
            lay(site, config, folder)
    for site, content in {} if options.quiet else digests_of(sites).items():
        print(f"containers layers: {site}: {folder / site}, content {content[:16]}", file=sys.stderr)
    return 0


def named(text: str) -> tuple[str, Path]:
    """Read ``[SITE=]FILE``.

    Raises:
        ConfigError: that cannot be a site's name.
    """
    site, given, file = text.rpartition("=")
    name = site if given else Path(file).stem
    if not SAFE_NAME.fullmatch(name) or name == POOLED:
        raise ConfigError(f"{text}: '{name}' cannot be a site's name; write SITE=FILE")
    return name, Path(file)
