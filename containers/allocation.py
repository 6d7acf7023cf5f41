"""On which node a launcher stands: the only one, or one of several that Slurm gave a gang together.

`srun` starts one launcher on each node; each finds from its environment which of the parties are its own.
"""

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from containers.errors import ConfigError

FABRIC = "SUTURE_FABRIC"  # an address in the network that nodes are to meet in, where there are several
COMMIT_SECONDS = 20.0  # what Slurm leaves a cancelled job, 30 s by default, less what leaving takes
LIMIT_SECONDS = 180.0  # so near its end a job is stopped for its time limit: there is time to commit until
SPARE_SECONDS = 20.0  # before it
ANY_PORT = 9  # no datagram is sent: only the way to there is looked up


@dataclass(frozen=True)
class Node:
    """A launcher's node, counted from 0, of how many; ``step`` names the allocation and this start in it."""

    rank: int = 0
    nodes: int = 1
    step: str = ""
    address: str = "127.0.0.1"

    @property
    def alone(self) -> bool:
        """Say whether one launcher starts all parties."""
        return self.nodes == 1

    def __str__(self) -> str:
        """Say which one it is, where there are others."""
        return "" if self.alone else f" on node {self.rank + 1} of {self.nodes}"


def node(environment: Mapping[str, str]) -> Node:
    """Read where this launcher stands; outside of a job step of several tasks it is alone.

    Raises:
        ConfigError: the step is incomplete, or the fabric's address leads nowhere.
    """
    tasks = environment.get("SLURM_STEP_NUM_TASKS", "1")
    if tasks == "1":
        return Node()
    try:
        step = f"{environment['SLURM_JOB_ID']}.{environment['SLURM_STEP_ID']}"
        return Node(int(environment["SLURM_PROCID"]), int(tasks), step, address(environment))
    except (KeyError, ValueError) as error:
        raise ConfigError(
            f"a job step of {tasks} tasks, but {error} of it is missing or no number; start it with srun"
        ) from None


def address(environment: Mapping[str, str]) -> str:
    """Find this node's own address in the network in which the nodes see each other.

    It is the one from which this node would write to the node that srun ran on, or to what SUTURE_FABRIC
    names: a machine with several networks has an address in each.

    Raises:
        ConfigError: that address is none, or no way leads there.
    """
    there = environment.get(FABRIC) or environment["SLURM_LAUNCH_NODE_IPADDR"]
    family = socket.AF_INET6 if ":" in there else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as asked:
            asked.connect((there, ANY_PORT))
            found = str(asked.getsockname()[0])
    except OSError as error:
        raise ConfigError(
            f"{there}: no way leads there ({error.strerror}); set {FABRIC} to an address in their network"
        ) from None
    return f"[{found}]" if ":" in found else found


def patience(environment: Mapping[str, str], now: float) -> float:
    """Give for how many seconds a job that is told to stop may wait for its next commit.

    Newer Slurms (23.02) say when the time limit is reached, in seconds since the epoch as ``now`` is.
    """
    left = float(environment.get("SLURM_JOB_END_TIME") or 0) - now
    return max(COMMIT_SECONDS, left - SPARE_SECONDS) if 0 < left < LIMIT_SECONDS else COMMIT_SECONDS


def dealt(parties: Sequence[str], where: Node) -> tuple[str, ...]:
    """Deal parties to nodes in turn: the coordinator to the first, the first site to the next."""
    return tuple(parties[where.rank :: where.nodes])
