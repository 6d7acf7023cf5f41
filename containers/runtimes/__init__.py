"""What builds a sandbox's walls: each runtime is a pure function from a sandbox to a command line."""

import argparse
import os
from functools import cache
from typing import Protocol

from containers.errors import ConfigError
from containers.runtimes import apptainer, bubblewrap, docker, host
from containers.sandbox import Sandbox


class Runtime(Protocol):
    """What a runtime's module holds: its walls in words, and what may be forked, what images it takes."""

    ISOLATION: str
    FORKS: bool
    IMAGES: str  # in which form it takes an image; empty: it runs the host's programs

    def argv(self, sandbox: Sandbox) -> list[str]:
        """Return the command line that runs the sandbox's command inside its walls."""

    def problem(self) -> str:
        """Say why it cannot be used on this machine, or nothing."""


RUNTIMES: dict[str, Runtime] = {
    "apptainer": apptainer, "docker": docker, "bubblewrap": bubblewrap, "host": host,
}  # fmt: skip
STRONGEST_FIRST = ("apptainer", "docker", "bubblewrap", "host")


def add_runtime(parser: argparse.ArgumentParser) -> None:
    """Declare ``--runtime``; SUTURE_RUNTIME, by which a workflow hands on its study's key, is its default."""
    parser.add_argument(
        "--runtime", default=os.environ.get("SUTURE_RUNTIME") or "auto",
        help=f"auto (the strongest that works here) or one of {', '.join(RUNTIMES)} (%(default)s)",
    )  # fmt: skip


def add_memory(parser: argparse.ArgumentParser) -> None:
    """Declare ``--memory``; its default is SUTURE_MEMORY_MB, which a workflow sets."""
    handed_on = os.environ.get("SUTURE_MEMORY_MB")
    parser.add_argument(
        "--memory", type=int, metavar="BYTES", default=int(handed_on) * 2**20 if handed_on else None,
        help="that each process may have of its own within walls (no limit)",
    )  # fmt: skip


def choose(name: str) -> str:
    """Return the runtime a person named, or for ``auto`` the strongest one that works here.

    Raises:
        ConfigError: the name is unknown, or that runtime does not work here.
    """
    if name == "auto":
        return next(known for known in STRONGEST_FIRST if not problem(known))
    if name not in RUNTIMES:
        raise ConfigError(
            f"--runtime: unknown runtime '{name}'; known names: auto, {', '.join(sorted(RUNTIMES))}"
        )
    if found := problem(name):
        raise ConfigError(f"--runtime {name}: {found}, or choose another runtime (`runtime` in the study)")
    return name


@cache
def problem(name: str) -> str:
    """Say why a runtime cannot be used here, or nothing; it is tried once."""
    return RUNTIMES[name].problem()
