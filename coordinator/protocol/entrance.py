"""Who gets into a conversation over a new connection, goes on with one after a cut, or is refused."""

from collections.abc import Callable, Mapping

from coordinator.errors import ProtocolError
from coordinator.protocol.assembly import hello_in
from coordinator.protocol.codec import Frames
from coordinator.protocol.line import CoordinatorLink, Line, expected
from coordinator.protocol.messages import Hello, Message, Refused, Resumed
from coordinator.protocol.presence import Presence

LONGEST_REASON = 2000  # characters: what a peer sent may stand in it


class Entrance:
    """Hears every site's Hello."""

    def __init__(
        self, link: CoordinatorLink, lines: Mapping[str, Line], presence: Presence, spec: str
    ) -> None:
        """Let in who was given a spec (its hash)."""
        self._link, self._lines, self._presence, self._spec = link, lines, presence, spec
        self.note: Callable[[str], None] = lambda text: None
        # says why a newcomer cannot take over a conversation that goes well, or nothing
        self.unfit: Callable[[Hello], str] = lambda hello: ""

    def knocks(self, site: str) -> bool:
        """Say whether a site that is not in has said something."""
        return site not in self._presence.hellos and self._lines[site].waiting()

    def enter(self, site: str) -> None:
        """Let a site in.

        Raises:
            ProtocolError: it said something else than a Hello, or another name or spec.
        """
        hello = expected(self._lines[site].hear(), Hello, site, None)
        if wrong := self._wrong(site, hello):
            raise ProtocolError(wrong, site)
        self._presence.hellos[site] = hello

    def refuse(self, site: str, reason: str) -> None:
        """Say why a site is not let in, or put out, over the connection that it has."""
        self.note(f"refused: {reason}")
        if route := self._presence.routes.get(site):
            self._say(route, self._lines[site], Refused(reason[:LONGEST_REASON]))

    def forget(self, site: str) -> None:
        """Forget a site's connection and what was said over it."""
        self._presence.forget(site)
        self._lines[site].restart()

    def opens(self, site: str, route: bytes, frames: Frames) -> bool:
        """Say whether a message opens a conversation over this connection; nothing but a Hello does.

        It is the end of the connection before, which may not be known to be dead.
        """
        hello = hello_in(frames)
        if hello is None:
            return False
        if hello.last_seen:
            self._resume(site, route, hello)
            return False
        if self._repeats(site, hello) and self._resume(site, route, hello):
            return False
        if site in self._presence.routes:
            if wrong := self._wrong(site, hello) or self._spare(site, hello):
                self._say(
                    route, _fresh(site), Refused(wrong[:LONGEST_REASON])
                )  # a good conversation does not end for it
                return False
            before = self._presence.replaced(site)
            self._say(before, self._lines[site], Refused("another process with your key came"))
            self._lines[site].restart()
        return True

    def _repeats(self, site: str, hello: Hello) -> bool:
        """Say whether a process says the Hello that it was let in for, since no answer has reached it.

        The connection before must be known to be dead: an older one's Hello may be read after a newer one's.
        """
        known = self._presence
        if site not in known.cut:
            return False
        same = known.resumable(site) and known.hellos[site].session == hello.session
        return same and self._lines[site].seen == 1

    def _resume(self, site: str, route: bytes, hello: Hello) -> bool:
        """Go on over a new connection with what the other side has not seen, or say that it cannot be."""
        line, again = self._lines[site], None
        if self._presence.resumable(site) and self._presence.hellos[site].session == hello.session:
            again = line.again(hello.last_seen)
        if hello.last_seen:
            self._say(route, _fresh(site), Resumed(-1 if again is None else line.seen))
        if again is None:
            return False
        self._presence.goes_on_over(site, route)
        self.note(f"'{site}' is connected again; {len(again)} messages were sent again")
        for frames in [each for _, several in again for each in several]:
            self._link.send(route, frames)
        return True

    def _spare(self, site: str, hello: Hello) -> str:
        """Say why a second process with a site's key does not take the first one's place."""
        known = self._presence
        if not known.welcomed or site in known.lost | known.away or not (why := self.unfit(hello)):
            return ""
        return f"another process with the key of '{site}' takes part; end one. {why}"

    def _wrong(self, site: str, hello: Hello) -> str:
        if (hello.site, hello.spec) == (site, self._spec):
            return ""
        return (
            f"'{site}' says it is '{hello.site:.40}' with spec {hello.spec[:12]}, expected '{site}' with "
            f"{self._spec[:12]}; give both the same spec file"
        )

    def _say(self, route: bytes, line: Line, message: Message) -> None:
        for frames in line.frames(message):
            self._link.send(route, frames)


def _fresh(site: str) -> Line:
    return Line(site, sends="down", limit=0, ahead=0)
