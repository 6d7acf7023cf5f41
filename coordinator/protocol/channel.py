"""The coordinator's conversations over a link: who is in, what is allowed next, in which order.

An algorithm sees ``send``, ``receive``, ``broadcast`` and ``gather``; nothing below this file knows
what a message means, nothing above it what a socket is.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from coordinator.errors import PeerLost, ProtocolError
from coordinator.protocol.codec import Frames, hello_in
from coordinator.protocol.line import AHEAD_MESSAGES, WAIT_SECONDS, CoordinatorLink, Kind, Line, expected
from coordinator.protocol.messages import Bye, Done, Hello, Message, Position, Refused, Welcome
from coordinator.protocol.sizes import Counts, together

TELL_SECONDS = 30.0
LONGEST_REASON = 2000  # characters: what a peer sent may stand in it


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
        self._link, self._spec = link, spec
        self._routes: dict[str, bytes] = {}
        self.hellos: dict[str, Hello] = {}  # of who is in
        self._welcomed = False
        self._done: set[str] = set()
        self._lost: set[str] = set()  # and of these, who has said Hello again
        self._returned: set[str] = set()
        # what hears every message of a conversation, where the study records the wire
        self.listener: Callable[[str, Message], None] = lambda site, message: None
        self.note: Callable[[str], None] = lambda text: None
        self.waited = 0.0  # seconds in which nothing had come

    def admit(
        self,
        waiting: Callable[[list[str]], None] = lambda absent: None,
        *,
        again: bool = False,
        seconds: float | None = None,
    ) -> None:
        """Wait until every site is here; every half minute ``waiting`` hears who is not.

        Args:
            waiting: hears names.
            again: wait for one that leaves meanwhile, too.
            seconds: how long to wait at most.

        Raises:
            ProtocolError: a site was given another spec.
            PeerLost: a site left, or did not come in time.
        """
        began = told = time.monotonic()
        while absent := [site for site in self.sites if site not in self.hellos]:
            try:
                for site in [each for each in absent if self.lines[each].waiting()]:
                    self._enter(site)
                if absent := [site for site in self.sites if site not in self.hellos]:
                    self._pump(WAIT_SECONDS)
            except ProtocolError as error:
                if not (again and self.refuse(error)):
                    raise
            self._let_go() if again else self._check_lost()
            now = time.monotonic()
            if absent and now > told + TELL_SECONDS:
                told = now
                waiting(absent)
            if absent and seconds is not None and now > began + seconds:
                names = ", ".join(absent)
                raise PeerLost(
                    f"waited {seconds / 60:.0f} minutes for {names}; see their logs, then run again"
                )

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

    def readmit(self, waiting: Callable[[list[str]], None], seconds: float | None) -> list[str]:
        """Wait until every site that was lost is here again; give their names."""
        lost = sorted(self._lost)
        self._let_go()
        self.admit(waiting, again=True, seconds=seconds)
        return lost

    def welcome(self, records: tuple[int, ...], commit: int = -1, generation: int = 0) -> None:
        """Let everyone begin or go on; what was said in an earlier generation and not heard is void.

        Args:
            records: the counts of training records the schedule is made from.
            commit: the one to go on from, -1: none.
            generation: higher than any before.
        """
        self._welcomed, self._done = True, set()
        for line in self.lines.values():
            line.begin(generation)
        self.broadcast(Welcome(records, commit))

    def state(self) -> dict[str, Any]:
        """Give what was counted on each line."""
        return {site: line.state() for site, line in self.lines.items()}

    def load(self, state: dict[str, Any]) -> None:
        """Go on counting from there."""
        for site, line in self.lines.items():
            line.load(state[site])

    def counted(self) -> Counter[str]:
        """Add up the bytes of all sites' lines, by direction, phase and kind."""
        return self.sizes().bytes

    def sizes(self) -> Counts:
        """Add up the arrays', the messages' and the wire's bytes of all sites' lines."""
        return together(line.counts for line in self.lines.values())

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
                self._lost.add(site)
                raise PeerLost(f"site '{site}' is no longer connected; see its log, then run again")

    def broadcast(self, message: Message) -> None:
        """Send the same message to every site."""
        for site in self.sites:
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
        """Wait for one message from every site; give them in site order, not in order of arrival.

        ``position`` stands for every site's own: its third number is replaced by the site's index.
        """
        return [
            self.receive(site, kind, position and (*position[:2], index, position[3]))
            for index, site in enumerate(self.sites)
        ]

    def finish(self) -> list[Done]:
        """Wait until every site has written its outputs; from then on it may leave."""
        done = self.gather(Done)
        self._done |= set(self.sites)
        return done

    def dismiss(self) -> None:
        """Let all leave; one that has left already is done too."""
        for site in self.sites:
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

    def _wrong(self, site: str, hello: Hello) -> str:
        if (hello.site, hello.spec) == (site, self._spec):
            return ""
        return (
            f"'{site}' says it is '{hello.site:.40}' with spec {hello.spec[:12]}, expected '{site}' with "
            f"{self._spec[:12]}; give both the same spec file"
        )

    def _say_refused(self, route: bytes, line: Line, reason: str) -> None:
        for frames in line.frames(Refused(reason[:LONGEST_REASON])):
            self._link.send(route, frames)

    def _pump(self, seconds: float) -> None:
        began = time.perf_counter()
        got = self._link.receive(seconds)
        self.waited += time.perf_counter() - began
        if got:
            self._deliver(*got)
        if gone := self._link.gone():
            self._lost |= {site for site, route in self._routes.items() if route in gone} - self._done

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
                self._routes.pop(site, None)
                self.lines[site].restart()
        self._returned -= self._lost
        self._lost = set()

    def _deliver(self, site: str, route: bytes, frames: Frames) -> None:
        if site not in self.lines or (
            self._routes.get(site) != route and not self._opens(site, route, frames)
        ):
            return
        if self.lines[site].accept(frames) is not None:
            self._routes[site] = route

    def _opens(self, site: str, route: bytes, frames: Frames) -> bool:
        """Say whether a message opens a conversation over this connection; nothing but a Hello does.

        It is the end of the connection before, which may not be known to be dead.
        """
        hello = hello_in(frames)
        if hello is None:
            return False
        if site in self._routes:
            if wrong := self._wrong(site, hello):  # a good conversation does not end for it
                self._say_refused(route, Line(site, sends="down", limit=0, ahead=0), wrong)
                return False
            self._say_refused(self._routes.pop(site), self.lines[site], "another process with your key came")
            self.lines[site].restart()
            self.hellos.pop(site, None)
            if self._welcomed:  # before that it has nothing to go back to
                self._lost.add(site)
                self._returned.add(site)
        return True
