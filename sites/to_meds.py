"""``python -m sites to-meds``: a source's folder as MEDS, the Medical Event Data Standard."""

import argparse
from pathlib import Path

from coordinator.folders import replaced
from sites.datasets.eicu_deal import BY
from sites.datasets.eicu_features import HOURS
from sites.datasets.eicu_to_meds import convert


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--source", choices=["eicu"], default="eicu", help="what the folder holds")
    parser.add_argument("--input", type=Path, required=True, help="the source's folder")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--by", choices=BY, default="region", help="what makes a site: the code SITE//...")
    parser.add_argument(
        "--hours", type=float, default=HOURS, help="time of prediction after admission to the unit"
    )


def run(options: argparse.Namespace) -> int:
    """Convert, and say what was written."""
    with replaced(options.out) as folder:
        counts = convert(options.input, folder, by=options.by, hours=options.hours)
    print(f"{', '.join(f'{count} {what}' for what, count in counts.items())}: {options.out}")
    return 0
