"""``python -m containers run``: one command in its own sandbox.

The runtime replaces this process, so exit status, signals, stdin, stdout and stderr are the command's own.
"""

import argparse
import os
import shutil
import sys
from pathlib import Path
from typing import get_args

from containers.environment import environment
from containers.errors import ConfigError
from containers.images.layer import binds_of
from containers.lifetime import die_with_parent
from containers.runtimes import RUNTIMES, add_memory, add_runtime, choose
from containers.sandbox import Bind, Mode, Network, Sandbox


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.usage = "%(prog)s [options] -- COMMAND ..."
    add_runtime(parser)
    parser.add_argument(
        "--bind", action="append", default=[], metavar="SOURCE[:TARGET][:ro|rw]",
        help="what the command sees; read-only unless rw",
    )  # fmt: skip
    parser.add_argument("--site", help="in whose container: this site's own layer is shown, where it has one")
    parser.add_argument("--network", choices=get_args(Network), default="none")
    add_memory(parser)
    parser.add_argument("--threads", type=int, default=1, help="threads of BLAS and OpenMP (1)")
    parser.add_argument(
        "--parent", type=int, metavar="PID", help="leave if this process is not the parent (a shell's $PPID)"
    )
    parser.add_argument("argv", nargs="*", metavar="COMMAND", help="'python' is this command's own Python")


def run(options: argparse.Namespace) -> int:
    """Become the command; returns only by raising.

    Raises:
        ConfigError: no command, an unknown runtime, an impossible bind, or a program that cannot start.
    """
    if not options.argv:
        raise ConfigError("no command given; write it after --, as in: run -- python -m sites prepare --help")
    if options.threads < 1:
        raise ConfigError(f"--threads: found {options.threads}, expected 1 or more")
    program, *rest = options.argv
    if program != "python" and not shutil.which(program):
        raise ConfigError(f"{program}: cannot be started; no such program, check its name and PATH")
    sandbox = Sandbox(
        command=(sys.executable if program == "python" else program, *rest),
        binds=(*map(bind, options.bind), *(binds_of(options.site) if options.site else ())),
        network=options.network,
        environment=environment(os.environ, threads=options.threads),
        memory=options.memory,
    )
    argv = RUNTIMES[choose(options.runtime)].argv(sandbox)
    die_with_parent(options.parent)
    os.execvpe(argv[0], argv, dict(sandbox.environment))  # noqa: S606 - it becomes the command


def bind(text: str) -> Bind:
    """Read ``SOURCE[:TARGET][:ro|rw]``.

    Raises:
        ConfigError: a mode that does not exist, too many parts, or a missing source.
    """
    parts = text.split(":")
    mode: Mode = "ro"
    if len(parts) > 1 and parts[-1] in get_args(Mode):
        mode = "rw" if parts.pop() == "rw" else "ro"
    if not 1 <= len(parts) <= 2 or not all(parts):
        raise ConfigError(f"--bind {text}: expected SOURCE[:TARGET][:ro|rw]")
    source = Path(parts[0]).absolute()
    if not source.exists():
        raise ConfigError(f"--bind {text}: {source} does not exist; create it or correct the path")
    return Bind(source, Path(parts[-1]).absolute(), mode)
