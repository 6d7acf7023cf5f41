"""``python -m coordinator remove``: take a site's keys off the manifest."""

import argparse
from pathlib import Path

from coordinator.errors import ConfigError
from coordinator.names import nearest
from coordinator.protocol.keys import fingerprint, read_manifest, write_manifest


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("site", help="who is admitted no more")
    parser.add_argument("--manifest", type=Path, required=True, help="every party's public keys")


def run(options: argparse.Namespace) -> int:
    """Remove one site; a running study shuts its connection within a second.

    Raises:
        ConfigError: the manifest does not hold the site.
    """
    manifest = read_manifest(options.manifest)
    if options.site not in manifest:
        raise ConfigError(f"{options.manifest}: no '{options.site}'; {nearest(options.site, manifest)}")
    removed = manifest.pop(options.site)
    write_manifest(options.manifest, manifest)
    print(f"removed '{options.site}' ({fingerprint(removed)}) from {options.manifest}")
    return 0
