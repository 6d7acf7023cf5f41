"""``python -m containers recipes``: the images' recipes, written out for Docker and Apptainer."""

import argparse
from pathlib import Path

from containers.images.texts import texts

FOLDER = Path(__file__).resolve().parent / "images"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--out", type=Path, default=FOLDER, metavar="FOLDER", help="(%(default)s)")


def run(options: argparse.Namespace) -> int:
    """Write each file; returns 0."""
    for name, text in texts().items():
        partial = options.out / f".{name}.partial"
        partial.write_text(text, encoding="utf-8")
        partial.rename(options.out / name)
    return 0
