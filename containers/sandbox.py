"""What a process may see and use, independent of what builds the walls."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

Mode = Literal["ro", "rw"]
Network = Literal["none", "host"]


class Bind(NamedTuple):
    """A file or folder of the host that appears inside."""

    source: Path
    target: Path
    mode: Mode = "ro"


@dataclass(frozen=True)
class Sandbox:
    """One process and its walls; ``memory`` in bytes, None for no limit; ``gpus``: whether it is shown any.

    ``lifeline``: its standard input ends when its launcher does, whereupon it leaves by itself.
    """

    command: tuple[str, ...]
    image: str | None = None
    binds: tuple[Bind, ...] = ()
    network: Network = "none"
    environment: Mapping[str, str] = field(default_factory=dict)
    cpus: int | None = None
    memory: int | None = None
    pids: int | None = None
    gpus: int = 0
    lifeline: bool = False


def same_place(path: Path, mode: Mode = "ro") -> Bind:
    """Bind a path under its own absolute name, so that commands read the same inside and outside."""
    return Bind(path.absolute(), path.absolute(), mode)
