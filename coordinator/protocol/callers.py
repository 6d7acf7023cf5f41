"""Conversations that come and go: a site connects, asks as often as it likes, and leaves.

Unlike a run, where all go on together, each is by itself: what one site does wrong, or its end, ends its own.
"""

from collections.abc import Callable, Mapping

from coordinator.errors import ProtocolError
from coordinator.protocol.line import AHEAD_MESSAGES, CoordinatorLink, Line
from coordinator.protocol.messages import Bye, Done, Hello, Message, Refused, Welcome

Answer = Callable[[str, Message], Message]


class Callers:
    """The coordinator's side."""

    def __init__(
        self, link: CoordinatorLink, specs: Mapping[str, str], *, limit: int, note: Callable[[str], None]
    ) -> None:
        """Wait for nobody yet.

        Args:
            link: the frames' carrier.
            specs: site to the hash of the spec it must have.
            limit: bytes of arrays that one message may carry.
            note: hears who came, left or was refused, and why.
        """
        self.served = 0  # conversations that a site ended as it should
        self._link, self._specs, self._limit, self._note = link, specs, limit, note
        self._lines: dict[bytes, Line] = {}
        self._sites: dict[bytes, str] = {}  # those that said Hello
        self._refused: set[bytes] = set()  # they may only begin anew

    def serve(self, seconds: float, answer: Answer) -> None:
        """Wait for a site's next message, and answer it.

        ``answer`` gets the site's name and its message, and raises ProtocolError to refuse.
        """
        got = self._link.receive(seconds)
        for route in self._link.gone():
            self._refused.discard(route)
            if site := self._forget(route):
                self._note(f"'{site}' left before it was done")
        if got is None:
            return
        site, route, frames = got
        line = self._lines.setdefault(
            route, Line(site, sends="down", limit=self._limit, ahead=AHEAD_MESSAGES * self._limit)
        )
        try:
            if line.accept(frames) is not None:
                self._send(route, self._reply(site, route, line.hear(), answer))
            while credit := line.credit():  # each conversation goes by itself: what comes is heard at once
                self._link.send(route, credit)
        except ProtocolError as error:
            if route in self._refused and not line.seen:
                self._forget(route)  # it went on as if it had not been refused
            else:
                self._refuse(route, str(error))

    def close(self) -> None:
        """Close the link."""
        self._link.close()

    def _reply(self, site: str, route: bytes, message: Message, answer: Answer) -> Message:
        if isinstance(message, Hello):
            return self._welcome(site, route, message)
        if route not in self._sites:
            raise ProtocolError(f"'{site}' sent {type(message).__name__} before its Hello")
        if isinstance(message, Done):
            self._note(f"'{site}' is done")
            self.served += 1
            return Bye()
        return answer(site, message)

    def _welcome(self, site: str, route: bytes, hello: Hello) -> Welcome:
        if (hello.site, hello.spec) != (site, self._specs[site]):
            raise ProtocolError(
                f"'{site}' says it is '{hello.site:.40}' with {hello.spec[:12]}, expected '{site}' with "
                f"{self._specs[site][:12]}: another run, other statistics, or not the parts that '{site}' "
                "ended the run with"
            )
        for earlier in [other for other, name in self._sites.items() if name == site]:
            self._forget(earlier)  # a site is in one conversation: its newest
        self._sites[route] = site
        self._refused.discard(route)
        self._note(f"'{site}' is here")
        return Welcome(())

    def _send(self, route: bytes, message: Message) -> None:
        line = self._lines[route]
        for frames in line.frames(message):
            if not self._link.send(route, frames):
                self._forget(route)
                return
        if isinstance(message, Bye):
            self._forget(route)

    def _refuse(self, route: bytes, reason: str) -> None:
        self._note(f"refused: {reason}")
        self._send(route, Refused(reason))
        self._refused.add(route)
        self._forget(route)

    def _forget(self, route: bytes) -> str | None:
        self._lines.pop(route, None)
        return self._sites.pop(route, None)
