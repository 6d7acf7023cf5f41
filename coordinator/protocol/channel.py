"""The coordinator's conversations over a link: who is in, what is allowed next, in which order.

An algorithm sees ``send``, ``receive``, ``broadcast`` and ``gather``; nothing below this file knows
what a message means, nothing above it what a socket is.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress

from coordinator.errors import PeerLost, ProtocolError
from coordinator.protocol.codec import Frames, frozen
from coordinator.protocol.credit import Room
from coordinator.protocol.entrance import Entrance
from coordinator.protocol.line import (
    AHEAD_MESSAGES,
    WAIT_SECONDS,
    CoordinatorLink,
    Kind,
    Line,
    Unheard,
    expected,
)
from coordinator.protocol.lines import Lines
from coordinator.protocol.messages import Away, Bye, Done, Hello, Message, Position, Welcome
from coordinator.protocol.presence import Presence

TELL_SECONDS = 30.0


class CoordinatorChannel:
    """The coordinator's side of the conversations with every site."""

    def __init__(
        self, link: CoordinatorLink, sites: Sequence[str], *, spec: str, limit: int, ahead: int | None = None
    ) -> None:
        """Wait for nobody yet.

        Args:
            link: the frames' carrier.
            sites: names in the study's site order.
            spec: hash of the spec every site must have been given.
            limit: bytes of arrays that one message may carry.
            ahead: bytes that a site may send before its turn to be heard; by default a few messages.
        """
        self.sites = tuple(sites)
        ahead = AHEAD_MESSAGES * limit if ahead is None else ahead
        self.lines = Lines({site: Line(site, sends="down", limit=limit, ahead=ahead) for site in sites})
        for line in self.lines.values():
            line.unheard = Unheard(ahead)
        self._link, self._presence = link, Presence(sites)
        self.entrance = Entrance(link, self.lines, self._presence, spec)
        self._room = Room(self.lines, self._lend)
        # what hears every message of a conversation, where the study records the wire
        self.listener: Callable[[str, Message], None] = lambda site, message: None
        self.waited = 0.0  # seconds in which nothing had come
        # sees to what is to be said although nothing has come; gives the seconds until it must again
        self.meanwhile: Callable[[], float] = lambda: WAIT_SECONDS

    @property
    def hellos(self) -> dict[str, Hello]:
        """Give what those said who are in."""
        return self._presence.hellos

    def admit(
        self,
        waiting: Callable[[list[str]], None] = lambda absent: None,
        *,
        again: bool = False,
        seconds: float | None = None,
        enough: Callable[[list[str]], bool] = lambda here: False,
    ) -> None:
        """Wait until every site is here; every half minute ``waiting`` hears who is not.

        Args:
            waiting: hears names.
            again: wait for one that leaves meanwhile, too.
            seconds: how long to wait at most.
            enough: says whether these sites can go on without the rest after that time.

        Raises:
            ProtocolError: a site was given another spec.
            PeerLost: a site left, or did not come in time.
        """
        began = told = time.monotonic()
        while absent := self._presence.missing():
            try:
                for site in filter(self.entrance.knocks, self.sites):
                    self.entrance.enter(site)
                if absent := self._presence.missing():
                    self._pump(min(WAIT_SECONDS, seconds or WAIT_SECONDS))
            except ProtocolError as error:
                if not (again and self.refuse(error)):
                    raise
            self._let_go() if again else self._check_lost()
            now, absent = time.monotonic(), self._presence.missing()
            if absent and now > told + TELL_SECONDS:
                told = now
                waiting(absent)
            if absent and seconds is not None and now > began + seconds:
                self._go_on_without(absent, seconds, enough)

    def _go_on_without(self, absent: list[str], seconds: float, enough: Callable[[list[str]], bool]) -> None:
        here, waited = sorted(self.hellos), f"waited {seconds / 60:g} minutes for {', '.join(absent)}"
        if not enough(here):
            raise PeerLost(
                f"{waited}; {', '.join(here) or 'nobody'} alone cannot go on; see their logs, then run again"
            )
        self.entrance.note(f"{waited}; going on without")
        self._presence.away |= set(absent)

    def away(self) -> list[str]:
        """Name the sites without which the run goes on, in site order."""
        return [site for site in self.sites if site in self._presence.away]

    def expect_not(self, sites: Iterable[str]) -> None:
        """Do not wait for sites without which the run went on before."""
        self._presence.away = {site for site in sites if site not in self.hellos}

    def leave_out(self, sites: Iterable[str]) -> None:
        """Say nothing to these sites, and hear nothing of them, until it is said otherwise."""
        self._presence.left_out = set(sites)

    def spoken_to(self) -> list[str]:
        """Name the sites that take part at this place of the schedule, in site order."""
        return self._presence.without(self._presence.left_out)

    def knocking(self) -> list[str]:
        """Let those who were away and have come back say Hello; name those whose Hello is right."""
        for site in filter(self.entrance.knocks, self.away()):
            try:
                self.entrance.enter(site)
            except ProtocolError as error:
                self.turn_away(site, str(error))
        return [site for site in self.away() if site in self.hellos]

    def turn_away(self, site: str, reason: str) -> None:
        """Say why a site is not let in, and go on without it."""
        self.entrance.refuse(site, reason)
        self.entrance.forget(site)
        self._presence.away.add(site)

    def refuse(self, error: ProtocolError) -> bool:
        """Go on without a site that broke the protocol until it comes back; False where it was no site.

        It costs the site its session, not everybody's run.
        """
        site = error.peer
        if site not in self.lines:
            return False
        self.entrance.refuse(site, str(error))
        self._presence.lost.add(site)
        self._presence.returned.discard(site)
        return True

    def lost(self) -> list[str]:
        """Name the sites that are lost and not yet waited for."""
        return sorted(self._presence.lost)

    def readmit(
        self,
        waiting: Callable[[list[str]], None],
        seconds: float | None,
        enough: Callable[[list[str]], bool] = lambda here: False,
    ) -> list[str]:
        """Wait until every site that was lost is here again; give the names of who is."""
        lost = self._presence.lost | self._presence.away
        self._let_go()
        self.admit(waiting, again=True, seconds=seconds, enough=enough)
        self.knocking()
        return sorted(site for site in lost if site in self.hellos)

    def welcome(
        self,
        records: tuple[int, ...],
        commit: int | Mapping[str, int] = -1,
        generation: int = 0,
        away: Away = (),
    ) -> None:
        """Let everyone who is here begin or go on; what was said in an earlier generation is void.

        Args:
            records: the counts of training records the schedule is made from.
            commit: the one to go on from, or each site's own; -1: none.
            generation: higher than any before.
            away: without which sites, from which place of the schedule.
        """
        known = self._presence
        known.welcomed, known.done = True, set()
        known.left_out, known.away = set(), known.away - set(self.hellos)
        for site in known.without(known.away):
            self.lines[site].begin(generation)
            own = commit if isinstance(commit, int) else commit[site]
            self.send(site, Welcome(records, own, away))

    def send(self, site: str, message: Message) -> None:
        """Send to one site; never blocks."""
        self.listener(site, message)
        for frames in self.lines[site].frames(message):
            if not self._link.send(self._presence.routes[site], frames):
                if self._presence.breaks(site):
                    return  # the line keeps it
                raise PeerLost(f"site '{site}' is no longer connected; see its log, then run again")

    def broadcast(self, message: Message) -> None:
        """Send the same message to every site that takes part, from one copy of its arrays."""
        still = frozen(message)
        for site in self.spoken_to():
            self.send(site, still)

    def receive(self, site: str, kind: type[Kind], position: Position | None = None) -> Kind:
        """Wait for a site's next message, which must be of this kind and place."""
        while True:
            self._check_lost()
            if self.lines[site].waiting():
                break
            self._room.give(site)
            self._pump(self.meanwhile())
        heard = expected(self.lines[site].hear(), kind, site, position)
        self.listener(site, heard)
        return heard

    def gather(self, kind: type[Kind], position: Position | None = None) -> list[Kind]:
        """Wait for one message from every site that takes part, in site order, not in order of arrival.

        ``position`` stands for every site's own: its third number is replaced by the site's index.
        """
        return [
            self.receive(site, kind, position and (*position[:2], index, position[3]))
            for index, site in enumerate(self.sites)
            if site not in self._presence.left_out
        ]

    def finish(self) -> list[Done]:
        """Wait until every site has written its outputs; from then on it may leave."""
        done = self.gather(Done)
        self._presence.done |= set(self.sites)
        return done

    def dismiss(self) -> None:
        """Let all leave; one that has left already is done too, and one that comes now comes too late."""
        for site in [each for each in self.away() if each in self._presence.routes]:
            self.turn_away(site, f"the run went on without '{site}' and is done")
        for site in self._presence.without(self._presence.away):
            with suppress(PeerLost):
                self.send(site, Bye())

    def close(self) -> None:
        """Close the link."""
        self._link.close()

    def _pump(self, seconds: float) -> None:
        began = time.perf_counter()
        got = self._link.receive(seconds)
        self.waited += time.perf_counter() - began
        if got:
            self._deliver(*got)
        for site in self._presence.ended(self._link.gone()):
            self.entrance.forget(site)

    def _lend(self, site: str, frames: Frames) -> None:
        if route := self._presence.routes.get(site):
            self._link.send(route, frames)

    def _check_lost(self) -> None:
        for site in sorted(self._presence.lost):
            # what it said before is heard first, unless it has come back since
            if site in self._presence.returned or not self.lines[site].waiting():
                raise PeerLost(f"site '{site}' ended or its connection broke; see its log, then run again")

    def _let_go(self) -> None:
        """Forget the connections of who is lost; who has come back has another."""
        for site in self._presence.let_go():
            self.entrance.forget(site)

    def _deliver(self, site: str, route: bytes, frames: Frames) -> None:
        if site not in self.lines or not (
            self._presence.routes.get(site) == route or self.entrance.opens(site, route, frames)
        ):
            return
        try:
            if self.lines[site].accept(frames) is not None:
                self._presence.routes[site] = route
            self._room.look(site)
        except ProtocolError as error:
            if site not in self._presence.away:
                raise
            self.turn_away(site, str(error))  # the others go on without it anyway
