"""The coordinator's conversations over a link: who is in, what is allowed next, in which order.

An algorithm sees ``send``, ``receive``, ``broadcast`` and ``gather``; nothing below this file knows
what a message means, nothing above it what a socket is.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from coordinator.errors import PeerLost, ProtocolError
from coordinator.protocol.codec import Frames, hello_in
from coordinator.protocol.line import (
    AHEAD_MESSAGES,
    RESUME_SECONDS,
    WAIT_SECONDS,
    CoordinatorLink,
    Kind,
    Line,
    Unheard,
    expected,
)
from coordinator.protocol.messages import Away, Bye, Done, Hello, Message, Position, Refused, Resumed, Welcome

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
        self.lines = {site: Line(site, sends="down", limit=limit, ahead=ahead) for site in sites}
        for line in self.lines.values():
            line.unheard = Unheard(ahead)
        self._link, self._spec = link, spec
        self._cut: dict[str, float] = {}  # whose connection ended, when; they may go on over another
        self._routes: dict[str, bytes] = {}
        self.hellos: dict[str, Hello] = {}  # of who is in
        self._welcomed = False
        self._done: set[str] = set()
        self._lost: set[str] = set()  # and of these, who has said Hello again
        self._returned: set[str] = set()
        self._away: set[str] = set()  # without whom all go on until they are let in again
        self._left_out: set[str] = set()  # to whom nothing is said at this place of the schedule
        # what hears every message of a conversation, where the study records the wire
        self.listener: Callable[[str, Message], None] = lambda site, message: None
        self.note: Callable[[str], None] = lambda text: None
        # says why a newcomer cannot take over a conversation that goes well, or nothing
        self.unfit: Callable[[Hello], str] = lambda hello: ""

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
        while absent := self._not_here():
            try:
                for site in [each for each in self.sites if self._knocks(each)]:
                    self._enter(site)
                if absent := self._not_here():
                    self._pump(min(WAIT_SECONDS, seconds or WAIT_SECONDS))
            except ProtocolError as error:
                if not (again and self.refuse(error)):
                    raise
            self._let_go() if again else self._check_lost()
            now = time.monotonic()
            if absent and now > told + TELL_SECONDS:
                told = now
                waiting(absent)
            absent = self._not_here()
            if absent and seconds is not None and now > began + seconds:
                self._go_on_without(absent, seconds, enough)

    def _not_here(self) -> list[str]:
        return [site for site in self.sites if site not in self.hellos and site not in self._away]

    def _knocks(self, site: str) -> bool:
        return site not in self.hellos and self.lines[site].waiting()

    def _go_on_without(self, absent: list[str], seconds: float, enough: Callable[[list[str]], bool]) -> None:
        names, here = ", ".join(absent), sorted(self.hellos)
        if not enough(here):
            left = f"{', '.join(here) or 'nobody'} alone cannot go on; " if self._away or len(here) else ""
            raise PeerLost(
                f"waited {seconds / 60:g} minutes for {names}; {left}see their logs, then run again"
            )
        self.note(f"waited {seconds / 60:g} minutes for {names}; going on without")
        self._away |= set(absent)

    def away(self) -> list[str]:
        """Name the sites without which the run goes on, in site order."""
        return [site for site in self.sites if site in self._away]

    def expect_not(self, sites: Iterable[str]) -> None:
        """Do not wait for sites without which the run went on before."""
        self._away = {site for site in sites if site not in self.hellos}

    def leave_out(self, sites: Iterable[str]) -> None:
        """Say nothing to these sites, and hear nothing of them, until it is said otherwise."""
        self._left_out = set(sites)

    def spoken_to(self) -> list[str]:
        """Name the sites that take part at this place of the schedule, in site order."""
        return [site for site in self.sites if site not in self._left_out]

    def knocking(self) -> list[str]:
        """Let those who were away and have come back say Hello; name those whose Hello is right."""
        for site in [each for each in self.away() if self._knocks(each)]:
            try:
                self._enter(site)
            except ProtocolError as error:
                self.turn_away(site, str(error))
        return [site for site in self.away() if site in self.hellos]

    def turn_away(self, site: str, reason: str) -> None:
        """Say why a site is not let in, and go on without it."""
        self.note(f"refused: {reason}")
        if route := self._routes.pop(site, None):
            self._say_refused(route, self.lines[site], reason)
        self._forget(site)
        self._away.add(site)

    def refuse(self, error: ProtocolError) -> bool:
        """Go on without a site that broke the protocol until it comes back; False where it was no site.

        It costs the site its session, not everybody's run.
        """
        site = error.peer
        if site not in self.lines:
            return False
        self.note(f"refused: {error}")
        if route := self._routes.get(site):
            self._say_refused(route, self.lines[site], str(error))
        self._lost.add(site)
        self._returned.discard(site)
        return True

    def lost(self) -> list[str]:
        """Name the sites that are lost and not yet waited for."""
        return sorted(self._lost)

    def readmit(
        self,
        waiting: Callable[[list[str]], None],
        seconds: float | None,
        enough: Callable[[list[str]], bool] = lambda here: False,
    ) -> list[str]:
        """Wait until every site that was lost is here again; give the names of who is."""
        lost = self._lost | self._away
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
        self._welcomed = True
        self._away -= set(self.hellos)
        self._left_out = set()
        for site in [each for each in self.sites if each not in self._away]:
            self.lines[site].begin(generation)
            own = commit if isinstance(commit, int) else commit[site]
            self.send(site, Welcome(records, own, away))

    def state(self) -> dict[str, Any]:
        """Give what was counted on each line."""
        return {site: line.state() for site, line in self.lines.items()}

    def load(self, state: dict[str, Any]) -> None:
        """Go on counting from there."""
        for site, line in self.lines.items():
            line.load(state[site])

    def counted(self) -> Counter[str]:
        """Add up the bytes of all sites' lines, by direction, phase and kind."""
        return sum((line.bytes for line in self.lines.values()), Counter())

    def heard(self) -> int:
        """Count the messages that have come from all sites."""
        return sum(line.taken for line in self.lines.values())

    def absent(self) -> list[str]:
        """Name the sites that have not come yet."""
        return [site for site in self.sites if site not in self._routes]

    def send(self, site: str, message: Message) -> None:
        """Send to one site; never blocks."""
        self.listener(site, message)
        for frames in self.lines[site].frames(message):
            if not self._link.send(self._routes[site], frames):
                if self._resumable(site):
                    self._cut.setdefault(site, time.monotonic())
                    return  # the line keeps it
                self._lost.add(site)
                raise PeerLost(f"site '{site}' is no longer connected; see its log, then run again")

    def broadcast(self, message: Message) -> None:
        """Send the same message to every site that takes part."""
        for site in self.spoken_to():
            self.send(site, message)

    def receive(self, site: str, kind: type[Kind], position: Position | None = None) -> Kind:
        """Wait for a site's next message, which must be of this kind and place."""
        while True:
            self._check_lost()
            if self.lines[site].waiting():
                break
            self._pump(WAIT_SECONDS)
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
            if site not in self._left_out
        ]

    def finish(self) -> list[Done]:
        """Wait until every site has written its outputs; from then on it may leave."""
        done = self.gather(Done)
        self._done |= set(self.sites)
        return done

    def dismiss(self) -> None:
        """Let all leave; one that has left already is done too, and one that comes now comes too late."""
        for site in [each for each in self.away() if each in self._routes]:
            self.turn_away(site, f"the run went on without '{site}' and is done")
        for site in [each for each in self.sites if each not in self._away]:
            with suppress(PeerLost):
                self.send(site, Bye())

    def close(self) -> None:
        """Close the link."""
        self._link.close()

    def _enter(self, site: str) -> None:
        hello = expected(self.lines[site].hear(), Hello, site, None)
        if wrong := self._wrong(site, hello):
            raise ProtocolError(wrong, site)
        self.hellos[site] = hello

    def _resumable(self, site: str) -> bool:
        entered = site in self.hellos and self.hellos[site].session != 0
        return entered and self._welcomed and site in self._routes and site not in self._lost | self._away

    def _resume(self, site: str, route: bytes, hello: Hello) -> None:
        """Go on over a new connection with what the other side has not seen, or say that it cannot be."""
        line, again = self.lines[site], None
        if self._resumable(site) and self.hellos[site].session == hello.session:
            again = line.again(hello.last_seen)
        answer = Resumed(-1 if again is None else line.seen)
        for frames in Line(site, sends="down", limit=0, ahead=0).frames(answer):
            self._link.send(route, frames)
        if again is None:
            return
        self._routes[site] = route
        self._cut.pop(site, None)
        self.note(f"'{site}' is connected again; {len(again)} messages were sent again")
        for _, several in again:
            for frames in several:
                self._link.send(route, frames)

    def _spare(self, site: str, hello: Hello) -> str:
        """Say why a second process with a site's key does not take the first one's place."""
        if not self._welcomed or site in self._lost | self._away or not (why := self.unfit(hello)):
            return ""
        return f"another process with the key of '{site}' takes part; end one. {why}"

    def _wrong(self, site: str, hello: Hello) -> str:
        if (hello.site, hello.spec) == (site, self._spec):
            return ""
        return (
            f"'{site}' says it is '{hello.site}' with spec {hello.spec[:12]}, expected '{site}' with "
            f"{self._spec[:12]}; give both the same spec file"
        )

    def _say_refused(self, route: bytes, line: Line, reason: str) -> None:
        for frames in line.frames(Refused(reason)):
            self._link.send(route, frames)

    def _pump(self, seconds: float) -> None:
        got = self._link.receive(seconds)
        if got:
            self._deliver(*got)
        if gone := self._link.gone():
            ended = {site for site, route in self._routes.items() if route in gone}
            for site in ended & self._away:
                self._forget(site)
            for site in ended - self._done - self._away:
                if self._resumable(site):
                    self._cut.setdefault(site, time.monotonic())
                else:
                    self._lost.add(site)
        late = time.monotonic() - RESUME_SECONDS
        self._lost |= {site for site, since in self._cut.items() if since < late}
        self._cut = {site: since for site, since in self._cut.items() if site not in self._lost}

    def _check_lost(self) -> None:
        for site in sorted(self._lost):
            # what it said before is heard first, unless it has come back since
            if site in self._returned or not self.lines[site].waiting():
                raise PeerLost(f"site '{site}' ended or its connection broke; see its log, then run again")

    def _let_go(self) -> None:
        """Forget the connections of who is lost; who has come back has another."""
        for site in self._lost:
            self.hellos.pop(site, None)
            if site not in self._returned:
                self._forget(site)
        self._returned -= self._lost
        self._lost = set()

    def _forget(self, site: str) -> None:
        self._cut.pop(site, None)
        self._routes.pop(site, None)
        self.hellos.pop(site, None)
        self.lines[site].restart()

    def _deliver(self, site: str, route: bytes, frames: Frames) -> None:
        if site not in self.lines or (
            self._routes.get(site) != route and not self._opens(site, route, frames)
        ):
            return
        try:
            if self.lines[site].accept(frames) is not None:
                self._routes[site] = route
        except ProtocolError as error:
            if site not in self._away:
                raise
            self.turn_away(site, str(error))  # the others go on without it anyway

    def _opens(self, site: str, route: bytes, frames: Frames) -> bool:
        """Say whether a message opens a conversation over this connection; nothing but a Hello does.

        It is the end of the connection before, which may not be known to be dead.
        """
        hello = hello_in(frames)
        if hello is None:
            return False
        if hello.last_seen:
            self._resume(site, route, hello)
            return False
        if site in self._routes:
            if wrong := self._wrong(site, hello) or self._spare(
                site, hello
            ):  # a good conversation does not end for it
                self._say_refused(route, Line(site, sends="down", limit=0, ahead=0), wrong)
                return False
            self._cut.pop(site, None)
            self._say_refused(self._routes.pop(site), self.lines[site], "another process with your key came")
            self.lines[site].restart()
            self.hellos.pop(site, None)
            if self._welcomed and site not in self._away:  # before that it has nothing to go back to
                self._lost.add(site)
                self._returned.add(site)
        return True
