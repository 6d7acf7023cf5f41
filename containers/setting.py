"""How a gang is launched: in which walls, where the parties meet, what they are told to run."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from containers.allocation import Node
from containers.gang import Gang
from containers.parties import PROGRAMS
from containers.runtimes import RUNTIMES
from containers.terminal import Voice

GATES_OUTSIDE = "; gate: outside, a process apart from what trains"


@dataclass(frozen=True)
class Setting:
    """What launching needs beside the gang; ``programs`` says how each program's command line begins."""

    runtime: str = "host"
    tcp: bool = False
    voice: Voice = field(default_factory=Voice)
    programs: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: PROGRAMS)  # tests start others
    where: Node = field(default_factory=Node)

    @property
    def isolation(self) -> str:
        """Say in which walls the parties run."""
        walls = RUNTIMES[self.runtime].ISOLATION
        opened = self.tcp and not walls.startswith("none")
        over = "" if self.where.alone else f" between {self.where.nodes} nodes"
        return f"{walls}; over TCP{over}, the host's network is in sight" if opened else walls


def isolation(gang: Gang, setting: Setting) -> str:
    """Say in which walls a gang's parties run, and if their gates are processes of their own."""
    return f"{setting.isolation}{GATES_OUTSIDE if gang.gates else ''}"
