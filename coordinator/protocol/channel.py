"""Conversations over a link: who is in, what is allowed next, in which order, and what it weighs.

An algorithm sees ``send``, ``receive``, ``broadcast`` and ``gather``; nothing below this file knows
what a message means, nothing above it what a socket is.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence

from coordinator.errors import PeerLost, ProtocolError
from coordinator.protocol.codec import Frames
from coordinator.protocol.line import CoordinatorLink, Kind, Line, SiteLink, expected
from coordinator.protocol.messages import Bye, Done, Hello, Message, Position, Welcome

WAIT_SECONDS = 1.0
TELL_SECONDS = 30.0
AHEAD_MESSAGES = 4


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
        self._done: set[str] = set()
        self._lost: set[str] = set()
        # what hears every message of a conversation, where the study records the wire
        self.listener: Callable[[str, Message], None] = lambda site, message: None

    def admit(self, waiting: Callable[[list[str]], None] = lambda absent: None) -> None:
        """Wait until every site is here; every half minute ``waiting`` hears who is not.

        Raises:
            ProtocolError: a site was given another spec.
            PeerLost: a site left.
        """
        told, awaited = time.monotonic(), list(self.sites)
        while awaited:
            for site in [each for each in awaited if self.lines[each].waiting()]:
                self._check(site, self.receive(site, Hello))
                awaited.remove(site)
            if awaited:
                self._pump(WAIT_SECONDS)
            if awaited and time.monotonic() > told + TELL_SECONDS:
                told = time.monotonic()
                waiting(awaited)

    def welcome(self, records: tuple[int, ...]) -> None:
        """Let everyone begin, with the counts of training records the schedule is made from."""
        self.broadcast(Welcome(records))

    def counted(self) -> Counter[str]:
        """Add up the bytes of all sites' lines, by direction, phase and kind."""
        return sum((line.bytes for line in self.lines.values()), Counter())

    def heard(self) -> int:
        """Count the messages that have come from all sites."""
        return sum(line.seen for line in self.lines.values())

    def absent(self) -> list[str]:
        """Name the sites that have not come yet."""
        return [site for site in self.sites if site not in self._routes]

    def send(self, site: str, message: Message) -> None:
        """Send to one site; never blocks."""
        self.listener(site, message)
        for frames in self.lines[site].frames(message):
            if not self._link.send(self._routes[site], frames):
                raise PeerLost(f"site '{site}' is no longer connected; see its log, then run again")

    def broadcast(self, message: Message) -> None:
        """Send the same message to every site."""
        for site in self.sites:
            self.send(site, message)

    def receive(self, site: str, kind: type[Kind], position: Position | None = None) -> Kind:
        """Wait for a site's next message, which must be of this kind and place."""
        line = self.lines[site]
        while not line.waiting():
            self._pump(WAIT_SECONDS)
        heard = expected(line.hear(), kind, site, position)
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

    def dismiss(self) -> list[Done]:
        """Wait until every site has written its outputs, then let all leave."""
        done = self.gather(Done)
        self._done |= set(self.sites)
        self.broadcast(Bye())
        return done

    def close(self) -> None:
        """Close the link."""
        self._link.close()

    def _check(self, site: str, hello: Hello) -> None:
        if (hello.site, hello.spec) != (site, self._spec):
            raise ProtocolError(
                f"'{site}' says it is '{hello.site}' with spec {hello.spec[:12]}, expected "
                f"'{site}' with {self._spec[:12]}; give both the same spec file"
            )

    def _pump(self, seconds: float) -> None:
        got = self._link.receive(seconds)
        if got:
            self._deliver(*got)
        if gone := self._link.gone():
            self._lost |= {site for site, route in self._routes.items() if route in gone} - self._done
        for site in sorted(self._lost):
            if not self.lines[site].waiting():  # what it said before is heard first
                raise PeerLost(f"site '{site}' ended or its connection broke; see its log, then run again")

    def _deliver(self, site: str, route: bytes, frames: Frames) -> None:
        line = self.lines.get(site)
        current = self._routes.get(site)
        if line is None or (current is not None and current != route):
            return  # an admitted key may hold one connection: the one that said Hello
        message = line.accept(frames)
        if message is None:
            return
        if current is None:
            expected(message, Hello, site, None)
            self._routes[site] = route


class SiteChannel:
    """A site's side of its conversation with the coordinator; made only by the release gate."""

    def __init__(self, link: SiteLink, *, limit: int, release: Callable[[Message, int], None]) -> None:
        """Say nothing yet.

        Args:
            link: the frames' carrier.
            limit: bytes of arrays that one message may carry.
            release: called with each message and its bytes before it leaves; raises to refuse.
        """
        self.line = Line("coordinator", sends="up", limit=limit, ahead=AHEAD_MESSAGES * limit)
        self._link, self._release, self._entered = link, release, False

    def enter(self, hello: Hello, waiting: Callable[[int], None]) -> Welcome:
        """Say Hello until the coordinator says Welcome; ``waiting`` hears how often it refused."""
        self.send(hello)
        refusals = 0
        while not self.line.waiting():
            self._pump()
            if self._link.refusals > refusals:
                refusals = self._link.refusals
                waiting(refusals)
            if self._link.retry_if_refused():
                self.line.sent = 0
                self.send(hello)
        self._entered = True
        return self.receive(Welcome)

    def send(self, message: Message) -> None:
        """Send to the coordinator, if the gate lets it pass."""
        for frames in self.line.frames(message):
            self._release(message, sum(len(part) for part in frames))
            self._link.send(frames)

    def receive(self, kind: type[Kind], position: Position | None = None) -> Kind:
        """Wait for the coordinator's next message, which must be of this kind and place."""
        while not self.line.waiting():
            self._pump()
            if self._entered and self._link.connections_lost and not self.line.waiting():
                raise PeerLost("the coordinator ended or the connection broke; see its log, then run again")
        return expected(self.line.hear(), kind, "coordinator", position)

    def leave(self, done: Done) -> None:
        """Say what was written, wait for the Bye, and close."""
        self.send(done)
        self.receive(Bye)
        self._link.close()

    def _pump(self) -> None:
        frames = self._link.receive(WAIT_SECONDS)
        if frames:
            self.line.accept(frames)
