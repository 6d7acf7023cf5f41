"""``python -m sites deal``: each site's own raw files of an embedded or generated source."""

import argparse
from pathlib import Path

from coordinator import specs
from coordinator.errors import ConfigError
from coordinator.folders import replaced
from coordinator.specs import Deal
from sites.datasets import dataset


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--spec", type=Path, required=True, help="the deal's spec, written by the plan")
    parser.add_argument("--out", type=Path, required=True, help="folder to write, one folder per site in it")


def run(options: argparse.Namespace) -> int:
    """Deal, and say what each site got."""
    spec = specs.read(Deal, options.spec)
    loader = dataset(spec.data.source)
    if not hasattr(loader, "deal"):
        raise ConfigError(f"data.source: '{spec.data.source}' has hospitals of its own and is not dealt")
    with replaced(options.out) as folder:
        loader.deal(spec, folder)
    sites = ", ".join(site.name for site in spec.sites)
    print(f"dealt {spec.data.source} to {sites}: {options.out}", flush=True)
    return 0
