"""``python -m coordinator fingerprints``: print the parties' fingerprints, for people to compare."""

import argparse
from pathlib import Path

from coordinator.protocol.keys import fingerprint, read_manifest


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--manifest", type=Path, required=True, help="every party's public keys")


def run(options: argparse.Namespace) -> int:
    """Print a line for each party."""
    for name, identity in read_manifest(options.manifest).items():
        print(f"{name}  {fingerprint(identity)}")
    return 0
