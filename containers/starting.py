"""Starts the parties of a gang: the coordinator, and all sites at once."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from containers import parties
from containers.borrowing import Borrowed
from containers.events import Events
from containers.follow import Progress
from containers.fork_server import ForkServer
from containers.gang import COORDINATOR, OF_A_GATE, Gang
from containers.gathering import Gathering, listed
from containers.meeting import Meeting
from containers.member import Member, start
from containers.runtimes import Runtime
from containers.sandbox import Sandbox
from containers.watch import Watch

LOOK_SECONDS = 0.05
Server = ForkServer | Borrowed
IGNORING = ("sh", "-c", "trap '' TERM; exec \"$@\"", "sh")


@dataclass(frozen=True)
class Starting:
    """What each start of a gang's party needs; ``held`` is the state folder's lock, which parties inherit."""

    gang: Gang
    runtime: Runtime
    meeting: Meeting
    programs: Mapping[str, tuple[str, ...]]
    held: int
    gathering: Gathering

    def again(self) -> "Starting":
        """Let a coordinator listen where the one before did, which left its socket behind."""
        if not self.meeting.tcp:
            self.meeting.socket.unlink(missing_ok=True)
            return self
        published = self.gang.state / COORDINATOR / "endpoint"
        if not published.exists():  # it ended before it listened
            return self
        port = published.read_text(encoding="utf-8").rpartition(":")[2]
        return replace(self, meeting=replace(self.meeting, port=int(port)))


def sharing(starting: Starting) -> ForkServer | None:
    """Start the parties' fork server, where there is no wall for it to break.

    Threads of a numerical library do not survive a fork, so a gang of several threads has none; nor has one
    on GPUs, which are dealt by each party's environment.
    """
    gang = starting.gang
    if (
        not starting.runtime.FORKS
        or "fork_server" not in starting.programs
        or gang.threads > 1
        or gang.on_gpu
    ):
        return None
    sandbox = parties.fork_server(gang, starting.programs)
    log = gang.state / f"fork-server-{starting.gathering.attempt}.txt"
    argv = deaf(starting, starting.runtime.argv(sandbox))
    return ForkServer(argv, sandbox.environment, log, keep=starting.held)


def deaf(starting: Starting, argv: list[str]) -> list[str]:
    """Let a program ignore SIGTERM where Slurm sends that to a launcher and all it started alike.

    The launcher heeds it, and asks its parties to leave in order.
    """
    return argv if starting.gathering.where.alone else [*IGNORING, *argv]


def start_coordinator(starting: Starting, watch: Watch, server: Server | None, progress: Progress) -> None:
    """Start the coordinator; its output tells the progress."""
    sandbox = parties.coordinator(starting.gang, starting.meeting, starting.programs)
    member = _start(starting, COORDINATOR, sandbox, server, piped=True)
    assert member.process.stdout is not None
    watch.add(member, Events(member.process.stdout.fileno(), member.log, progress.receive).read)


def start_sites(starting: Starting, watch: Watch, server: Server | None) -> None:
    """Start all sites at once; over TCP as soon as the coordinator has published its port."""
    endpoint = published(starting, watch)
    for name in starting.gang.others:
        if name in starting.gang.here and endpoint is not None:
            start_site(starting, watch, server, name, endpoint)


def start_site(starting: Starting, watch: Watch, server: Server | None, name: str, endpoint: str) -> None:
    """Start one site, or a site's gate."""
    itself = name in starting.gang.sites
    site, describe = (name, parties.site) if itself else (name.removesuffix(OF_A_GATE), parties.gate)
    sandbox = describe(starting.gang, starting.meeting, site, endpoint, starting.programs)
    watch.add(_start(starting, name, sandbox, server, piped=False))


def published(starting: Starting, watch: Watch) -> str | None:
    """Give where to connect: over TCP what the coordinator publishes, None if the gang ends before."""
    if not starting.meeting.tcp:
        return starting.meeting.bound
    path = starting.gang.state / COORDINATOR / "endpoint"
    while not listed(path):
        if watch.stopped_by or starting.gathering.elsewhere() or not (watch.alive() or waits(starting)):
            return None
        watch.step(LOOK_SECONDS)
    return path.read_text(encoding="utf-8").strip()


def waits(starting: Starting) -> bool:
    """Say whether the coordinator is another launcher's."""
    return COORDINATOR not in starting.gang.here


def _start(starting: Starting, party: str, sandbox: Sandbox, server: Server | None, *, piped: bool) -> Member:
    log = log_of(starting.gang, party, starting.gathering.attempt)
    # what follows `python -m`: a package of ours and its arguments
    if server and (member := server.start(party, sandbox.command[2:], log, piped=piped)):
        return member
    argv = deaf(starting, starting.runtime.argv(sandbox))
    return start(party, argv, sandbox.environment, log, keep=starting.held, piped=piped)


def log_of(gang: Gang, party: str, attempt: int) -> Path:
    """Name a party's log."""
    return gang.state / party / f"log-{attempt}.txt"
