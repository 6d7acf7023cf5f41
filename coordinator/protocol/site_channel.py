"""A site's conversation with the coordinator over a link, from Hello to Bye, and back after a loss."""

import time
from collections.abc import Callable

from msgspec.structs import replace

from coordinator.errors import PeerLost, ProtocolError
from coordinator.protocol.codec import Frames
from coordinator.protocol.credit import WINDOW
from coordinator.protocol.line import (
    AHEAD_MESSAGES,
    MESSAGE_BYTES,
    RESUME_SECONDS,
    WAIT_SECONDS,
    Kind,
    Line,
    SiteLink,
    Unheard,
    expected,
)
from coordinator.protocol.messages import Bye, Done, Hello, Kept, Message, Position, Resumed, Welcome
from coordinator.protocol.sizes import size_of


class Rewound(ProtocolError):
    """The coordinator told this site to go on from a commit; an error where there are none."""

    def __init__(self, welcome: Welcome) -> None:
        """Take what it said."""
        super().__init__(f"go on from commit {welcome.commit}")
        self.welcome = welcome


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
        self.line.unheard = Unheard(AHEAD_MESSAGES * limit)
        self._link, self._release, self._entered = link, release, False
        self.waited = 0.0  # seconds in which nothing had come
        self.listener: Callable[[Message], None] = lambda message: None  # raises to refuse what came
        self.release_again: Callable[[Message, int], None] = release  # what a cut makes it say once more
        self.resume_seconds = RESUME_SECONDS
        self._connected_anew = False  # and told that nothing can be gone on with
        self._hello: Hello | None = None
        self.kept = -1  # the last commit of which the coordinator said that all hold it

    def enter(
        self,
        hello: Hello,
        waiting: Callable[[int], None],
        *,
        again: bool = False,
        seconds: float | None = None,
    ) -> Welcome:
        """Say Hello until the coordinator says Welcome.

        Args:
            hello: what to say.
            waiting: hears how often the coordinator refused.
            again: over a new connection, after the one before was lost.
            seconds: how long to wait at most.

        Raises:
            PeerLost: the coordinator did not answer in time.
        """
        self._entered, refusals, began, self._hello = False, 0, time.monotonic(), hello
        if again:
            if not self._connected_anew:
                self._link.reconnect()
            self._connected_anew = False
            self.line.restart()
        self.send(hello)
        while not self.line.waiting():
            came = self._pump()
            if self._link.refusals > refusals:
                refusals = self._link.refusals
                waiting(refusals)
            if not came and self._link.retry():
                self.line.restart()
                self.send(hello)
            if seconds is not None and time.monotonic() > began + seconds:
                raise PeerLost(f"the coordinator did not answer for {seconds / 60:.0f} minutes; see its log")
        self._entered = True
        return expected(self._next(), Welcome, "coordinator", None)

    def send(self, message: Message) -> None:
        """Send to the coordinator, if the gate lets it pass."""
        several = self.line.frames(message)
        self._release(message, size_of(several).bytes)
        self._pass_on(several)

    def receive(self, kind: type[Kind], position: Position | None = None) -> Kind:
        """Wait for the coordinator's next message, which must be of this kind and place.

        Raises:
            Rewound: it says to go on from a commit instead.
        """
        while isinstance(message := self._next(), Kept):
            pass
        if isinstance(message, Welcome) and kind is not Welcome:
            raise Rewound(message)
        return expected(message, kind, "coordinator", position)

    def await_kept(self, number: int) -> None:
        """Wait until the coordinator has said that everyone's state at a commit lies on disk."""
        while self.kept < number:
            message = self._next()
            if isinstance(message, Welcome):
                raise Rewound(message)
            expected(message, Kept, "coordinator", None)

    def leave(self, done: Done | None) -> None:
        """Say what was written, if anything was; wait for the Bye, and close."""
        if done is not None:
            self.send(done)
        self.receive(Bye)
        self._link.close()

    def _next(self) -> Message:
        while not self.line.waiting():
            came = self._pump()
            if not came and self._entered and self._link.connections_lost and not self._resumed():
                raise PeerLost("the coordinator ended or the connection broke; see its log, then run again")
        message = self.line.hear()
        self.listener(message)
        match message:
            case Kept(number) | Welcome(commit=number):
                self.kept = number
        return message

    def _pump(self) -> bool:
        """Take what comes next; say whether anything came: what came before a cut is still to be read."""
        began = time.perf_counter()
        frames = self._link.receive(WAIT_SECONDS)
        self.waited += time.perf_counter() - began
        if frames:
            self.line.accept(frames)
        return bool(frames)

    def _resumed(self) -> bool:
        """Connect anew, say what was seen last, and let both sides send the rest again, if that can be."""
        if self._hello is None or not self._hello.session:
            return False
        asking = Line("coordinator", sends="up", limit=0, ahead=AHEAD_MESSAGES * MESSAGE_BYTES)
        hello = replace(self._hello, last_seen=self.line.seen, commits={})
        give_up = time.monotonic() + self.resume_seconds
        self._link.reconnect()
        self._say_again(hello, asking.frames(hello))
        while not asking.waiting() and time.monotonic() < give_up:
            if frames := self._link.receive(WAIT_SECONDS):
                asking.accept(frames)
            elif self._link.retry():
                asking.restart()
                self._say_again(hello, asking.frames(hello))
        answer = asking.hear() if asking.waiting() else None
        left = self.line.again(answer.last_seen) if isinstance(answer, Resumed) else None
        self._connected_anew = isinstance(answer, Resumed) and answer.last_seen < 0
        for message, several in left or []:
            self._say_again(message, several)
        return left is not None

    def _say_again(self, message: Message, several: list[Frames]) -> None:
        self.release_again(message, size_of(several).bytes)
        self._pass_on(several)

    def _pass_on(self, several: list[Frames]) -> None:
        began = time.perf_counter()
        for frames in several:
            self._link.send(frames)
        if len(several) > WINDOW:  # of which the rest waited for credit
            self.waited += time.perf_counter() - began
