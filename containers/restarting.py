"""Starts a killed party again, a few times; it goes on from its last commit."""

import time
from collections import Counter
from dataclasses import dataclass, field

from containers.attempt import clear
from containers.follow import Progress
from containers.gang import COORDINATOR
from containers.member import Member, ask_to_leave
from containers.outcome import how
from containers.starting import Server, Starting, published, start_coordinator, start_site
from containers.terminal import Voice
from containers.watch import Watch

GOING_SECONDS = 10.0  # what parties may take to leave once the coordinator is done
LATEST_SECONDS = 60.0  # and one that was never started again: it may be slow to leave


@dataclass
class Restarting:
    """Knows how each party was started, and how often."""

    starting: Starting
    watch: Watch
    server: Server | None
    progress: Progress
    voice: Voice
    times: Counter[str] = field(default_factory=Counter)
    aside: set[str] = field(default_factory=set)  # sites without which the run goes on

    def revive(self) -> None:
        """Start whoever was killed again, and who had left for good: it has to hear the end once more.

        Nobody, where one ended by its own fault, was killed too often, or all are asked to leave; but a site
        that the run can do without is set aside.
        """
        if self.starting.gang.goes_on and self.watch.ending_since is None:
            self._set_aside()
        ended = [member for member in self.watch.members if member.ended is not None]
        killed = [member for member in ended if was_killed(member)]
        own_fault = [member for member in ended if member.status != 0 and not was_killed(member)]
        if own_fault or self.watch.stopped_by or self.watch.ending_since is not None:
            return
        if not killed:
            if self._waits_in_vain(ended) or (self.times and self._missing()):
                self._start(ended)
            return
        most = self.starting.gang.restarts
        if any(self.times[member.party] >= most for member in killed):
            return
        for member in killed:
            self.times[member.party] += 1
            count = f"restart {self.times[member.party]} of at most {most}"
            self.voice.say(f"{self.starting.gang.name}: {member.party} was {how(member.status)}; {count}")
        self._start(ended)

    def _set_aside(self) -> None:
        """Go on without sites that failed, or were killed too often, or came when the work was done."""
        gang, members = self.starting.gang, list(self.watch.members)
        done = [each for each in members if each.party == COORDINATOR and each.ended and each.status == 0]
        if done and time.monotonic() > (done[0].ended or 0.0) + GOING_SECONDS:
            for member in self.watch.alive():
                ask_to_leave(member)
        for member in [each for each in members if each.party != COORDINATOR and each.ended and each.status]:
            if done or not was_killed(member) or self.times[member.party] >= gang.restarts:
                self.voice.say(f"{gang.name}: {member.party} ended ({how(member.status)}); going on without")
                self.aside.add(member.party)
                self.watch.forget(member)

    def _waits_in_vain(self, ended: list[Member]) -> bool:
        """Say whether a party waits for a coordinator that has done its work.

        It was killed, or cut off, between its last word and the Bye: what it waits for is said once more.
        """
        done = [member for member in ended if member.party == COORDINATOR and member.status == 0]
        if self.starting.gang.goes_on or not done or not (alive := self.watch.alive()):
            return False
        again = any(self.times[member.party] for member in alive)
        since = time.monotonic() - (done[0].ended or 0.0)
        return since > (GOING_SECONDS if again else LATEST_SECONDS)

    def _start(self, ended: list[Member]) -> None:
        """Start parties again, and those that never were: the coordinator first."""
        gang, where = self.starting.gang, self.starting
        if COORDINATOR not in {member.party for member in self.watch.alive()}:
            where = where.again()  # before what says where it listened is cleared
        for member in ended:
            self.watch.forget(member)
            clear(gang, member.party)
        missing = self._missing()
        if COORDINATOR in missing:
            start_coordinator(where, self.watch, self.server, self.progress)
        endpoint = published(self.starting, self.watch)
        for party in gang.others:
            if party in missing and endpoint:
                start_site(self.starting, self.watch, self.server, party, endpoint)

    def _missing(self) -> set[str]:
        """Name the parties that were not started: another one's end came between."""
        watched = {member.party for member in self.watch.members}
        return set(self.starting.gang.here) - watched - self.aside


def was_killed(member: Member) -> bool:
    """Say whether a signal ended a party, or what ran within its walls."""
    return member.status < 0 or member.status > 128
