"""Starts a killed party again, a few times; it goes on from its last commit."""

from collections import Counter
from dataclasses import dataclass, field

from containers.follow import Progress
from containers.fork_server import ForkServer
from containers.gang import COORDINATOR
from containers.member import Member
from containers.outcome import how
from containers.starting import Starting, published, start_coordinator, start_site
from containers.terminal import Voice
from containers.watch import Watch


@dataclass
class Restarting:
    """Knows how each party was started, and how often."""

    starting: Starting
    watch: Watch
    server: ForkServer | None
    progress: Progress
    voice: Voice
    times: Counter[str] = field(default_factory=Counter)

    def revive(self) -> None:
        """Start whoever was killed again, and who had left for good: it has to hear the end once more.

        Nobody, where one ended by its own fault, was killed too often, or all are asked to leave.
        """
        ended = [member for member in self.watch.members if member.ended is not None]
        killed = [member for member in ended if was_killed(member)]
        own_fault = [member for member in ended if member.status != 0 and not was_killed(member)]
        if not killed or own_fault or self.watch.stopped_by or self.watch.ending_since is not None:
            return
        most = self.starting.gang.restarts
        if any(self.times[member.party] >= most for member in killed):
            return
        for member in killed:
            self.times[member.party] += 1
            count = f"restart {self.times[member.party]} of at most {most}"
            self.voice.say(f"{self.starting.gang.name}: {member.party} was {how(member.status)}; {count}")
        for member in ended:
            self._start(member)

    def _start(self, member: Member) -> None:
        gang, party = self.starting.gang, member.party
        self.watch.forget(member)
        (gang.state / party / "exit.json").unlink(missing_ok=True)
        if party == COORDINATOR:
            start_coordinator(self.starting.again(), self.watch, self.server, self.progress)
        elif endpoint := published(self.starting, self.watch):
            start_site(self.starting, self.watch, self.server, party, endpoint)


def was_killed(member: Member) -> bool:
    """Say whether a signal ended a party, or what ran within its walls."""
    return member.status < 0 or member.status > 128
