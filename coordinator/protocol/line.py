"""A line to one peer, below the conversation: sequence numbers, reassembly, counts, what is expected."""

from collections import Counter, deque
from typing import Protocol, TypeVar

from coordinator.errors import ProtocolError
from coordinator.protocol.codec import Arriving, Envelope, Frames, encode
from coordinator.protocol.messages import Message, Position

Kind = TypeVar("Kind", bound=Message)


class CoordinatorLink(Protocol):
    """What carries frames to and from the sites (`sockets.Router`, `inproc.Hub`)."""

    def receive(self, seconds: float) -> tuple[str, bytes, Frames] | None: ...  # noqa: D102
    def gone(self) -> list[bytes]: ...  # noqa: D102
    def send(self, route: bytes, frames: Frames) -> bool: ...  # noqa: D102
    def close(self) -> None: ...  # noqa: D102


class SiteLink(Protocol):
    """What carries frames to and from the coordinator (`sockets.Dealer`, `inproc.Spoke`)."""

    refusals: int
    connections_lost: int

    def receive(self, seconds: float) -> Frames | None: ...  # noqa: D102
    def send(self, frames: Frames) -> None: ...  # noqa: D102
    def retry_if_refused(self) -> bool: ...  # noqa: D102
    def close(self) -> None: ...  # noqa: D102


class Line:
    """One party's line to a peer."""

    def __init__(self, peer: str, limit: int) -> None:
        """Start at the first message; ``limit`` is the bytes of arrays that one may carry."""
        self.peer, self.limit = peer, limit
        self.sent = self.seen = 0
        self.inbox: deque[Message] = deque()
        self.bytes: Counter[str] = Counter()
        self._arriving: Arriving | None = None

    def frames(self, message: Message, phase: str, direction: str) -> list[Frames]:
        """Number a message, and give its two-frame messages."""
        self.sent += 1
        envelope = Envelope(0, 0, self.sent, self.seen, message)  # type: ignore[arg-type]
        frames = list(encode(envelope))
        self.count(message, phase, direction, sum(len(part) for pair in frames for part in pair))
        return frames

    def count(self, message: Message, phase: str, direction: str, size: int) -> None:
        """Count bytes by direction, phase and kind of message."""
        self.bytes[f"{direction}.{phase}.{type(message).__name__.lower()}"] += size

    def accept(self, frames: Frames, phase: str, direction: str) -> Message | None:
        """Put frames together; give the message when it is whole and new."""
        try:
            if len(frames) > 2:
                raise ProtocolError(f"{len(frames)} frames came, at most 2 make a message")
            if self._arriving is None:
                self._arriving = Arriving(frames[0], self.limit)
            else:
                self._arriving.check_next(frames[0])
            whole = self._arriving.take(frames[1] if len(frames) == 2 else None)
        except ProtocolError as error:
            raise ProtocolError(f"'{self.peer}' broke the protocol: {error}") from None
        envelope = self._arriving.envelope
        self.count(envelope.message, phase, direction, sum(len(part) for part in frames))
        if not whole:
            return None
        self._arriving = None
        return envelope.message if self._is_new(envelope) else None

    def _is_new(self, envelope: Envelope) -> bool:
        if envelope.sequence > self.seen + 1:
            raise ProtocolError(
                f"'{self.peer}' sent message {envelope.sequence} after {self.seen}: messages in between "
                "were lost; restart the run"
            )
        new = envelope.sequence == self.seen + 1
        self.seen += new
        return new


def expected(message: Message, kind: type[Kind], peer: str, position: Position | None) -> Kind:
    """Check that a message is the one the conversation allows now.

    Raises:
        ProtocolError: another kind of message, or one for another place in the schedule.
    """
    found = getattr(message, "position", None)
    if isinstance(message, kind) and (position is None or found == position):
        return message
    raise ProtocolError(
        f"'{peer}' sent {type(message).__name__} at {found}, expected {kind.__name__} at {position}; "
        "coordinator and site must run the same version and spec"
    )
