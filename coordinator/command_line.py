"""One command line for every program: subcommands are modules, errors are sentences."""

import argparse
import sys
from collections.abc import Mapping, Sequence

from coordinator.errors import SutureError
from coordinator.importing import load
from coordinator.shortage import shortage


def main(
    program: str, commands: Mapping[str, tuple[str, str]], arguments: Sequence[str] | None = None
) -> int:
    """Run a subcommand: a module with ``add_arguments(parser)`` and ``run(options) -> int``.

    Returns the exit status: 0, 2 for bad input, or the error's own.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    parser = argparse.ArgumentParser(prog=f"python -m {program}")
    choices = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (_, summary) in commands.items():
        choices.add_parser(name, help=summary, add_help=False)
    chosen = parser.parse_args(arguments[:1]).command
    module = load(commands[chosen][0])
    own = argparse.ArgumentParser(prog=f"python -m {program} {chosen}", description=commands[chosen][1])
    module.add_arguments(own)
    try:
        return int(module.run(own.parse_args(arguments[1:])))
    except SutureError as error:
        print(f"{program} {chosen}: {error}", file=sys.stderr, flush=True)
        return error.exit_status
    except (MemoryError, RuntimeError) as error:
        if not (lacking := shortage(error)):
            raise
        print(f"{program} {chosen}: {lacking}", file=sys.stderr, flush=True)
        return 1
    except KeyboardInterrupt:
        print(f"{program} {chosen}: interrupted", file=sys.stderr, flush=True)
        return 130
