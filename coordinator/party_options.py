"""The options that every party's program takes."""

import argparse
from pathlib import Path


def add_party_options(parser: argparse.ArgumentParser, *, keys: bool = True) -> None:
    """Declare what a party is told: its spec, its keys, which some may lack, and where its files go."""
    parser.add_argument("--spec", type=Path, required=True, help="the run or agreement, from the plan")
    parser.add_argument("--statistics", type=Path, help="the agreed statistics (for a run)")
    parser.add_argument("--secret", type=Path, required=keys, help="this party's key file")
    parser.add_argument("--manifest", type=Path, required=keys, help="every party's public keys")
    parser.add_argument("--state", type=Path, required=True, help="folder for this party's files")
    parser.add_argument("--lifeline", action="store_true", help="leave when standard input ends")
