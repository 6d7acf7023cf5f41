"""No walls: the command runs as a plain process of the user who started it."""

from containers.sandbox import Sandbox

ISOLATION = "none: plain processes on the host"
FORKS = True  # no wall is lost if one site is forked from another's program
IMAGES = ""  # the host's own programs


def argv(sandbox: Sandbox) -> list[str]:
    """Return the bare command; binds, network and limits do not hold here, and ``ISOLATION`` says so."""
    return list(sandbox.command)


def problem() -> str:
    """Say nothing: plain processes run everywhere."""
    return ""
