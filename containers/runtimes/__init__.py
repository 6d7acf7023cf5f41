"""What builds a sandbox's walls: each runtime is a pure function from a sandbox to a command line."""

from typing import Protocol

from containers.errors import ConfigError
from containers.runtimes import host
from containers.sandbox import Sandbox


class Runtime(Protocol):
    """What a runtime's module holds."""

    ISOLATION: str
    FORKS: bool

    def argv(self, sandbox: Sandbox) -> list[str]:
        """Return the command line that runs the sandbox's command inside its walls."""


RUNTIMES: dict[str, Runtime] = {"host": host}
BEST_FIRST = ("host",)


def choose(name: str) -> str:
    """Return the runtime a person named, or for ``auto`` the strongest one.

    Raises:
        ConfigError: the name is unknown.
    """
    if name == "auto":
        return BEST_FIRST[0]
    if name not in RUNTIMES:
        raise ConfigError(
            f"--runtime: unknown runtime '{name}'; known names: auto, {', '.join(sorted(RUNTIMES))}"
        )
    return name
