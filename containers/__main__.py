"""``python -m containers``: which processes run, in which walls, and who ends them."""

import os

PARENT = os.getppid()  # read before anything slow: whoever started us may die during the imports

import argparse  # noqa: E402
import sys  # noqa: E402
from collections.abc import Sequence  # noqa: E402
from importlib import import_module  # noqa: E402
from types import ModuleType  # noqa: E402

from containers.errors import EXIT_BAD_INPUT, ConfigError  # noqa: E402

COMMANDS = {
    "build": "build the images that walls are built around, where they are missing",
    "layers": "lay each site's config over the shared image, as a small layer of its own",
    "recipes": "write the images' recipes out, for Docker and Apptainer",
    "fork-servers": "keep each party of a study started within its walls, for the launchers to ask",
    "launch": "start a coordinator and its sites, watch them, collect their results",
    "run": "run one command in its own sandbox",
}


def main(arguments: Sequence[str], parent: int) -> int:
    """Run a subcommand: a module with ``add_arguments(parser)`` and ``run(options) -> int``."""
    parser = argparse.ArgumentParser(prog="python -m containers", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, summary in COMMANDS.items():
        own = commands.add_parser(name, help=summary, description=summary)
        own.set_defaults(parent=parent)
        module_of(name).add_arguments(own)
    options = parser.parse_args(arguments)
    try:
        return int(module_of(options.command).run(options))
    except ConfigError as error:
        print(f"containers {options.command}: {error}", file=sys.stderr, flush=True)
        return EXIT_BAD_INPUT


def module_of(command: str) -> ModuleType:
    """Import a subcommand."""
    return import_module(f"containers.{command.replace('-', '_')}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], PARENT))
