"""A line to one peer, below the conversation: sequence numbers, reassembly, counts, what is expected."""

from collections import Counter, deque
from typing import Any, Protocol, TypeVar

from coordinator.errors import ProtocolError
from coordinator.protocol.assembly import Assembly
from coordinator.protocol.codec import CHUNK_BYTES, Envelope, Frames, encode, unchanging
from coordinator.protocol.credit import WINDOW, Lender
from coordinator.protocol.messages import Hello, Message, Position, Refused, Welcome, phase_of
from coordinator.protocol.sizes import Counts, Size, size_of

Kind = TypeVar("Kind", bound=Message)
WAIT_SECONDS = 1.0  # between two looks at what else has happened
AHEAD_MESSAGES = 4
RESUME_SECONDS = 8.0  # after a cut, before it counts as the other side's end
MESSAGE_BYTES = 512  # about, that a waiting message takes beside what came over the wire


class CoordinatorLink(Protocol):
    """What carries frames to and from the sites (`sockets.Router`, `inproc.Hub`)."""

    def receive(self, seconds: float) -> tuple[str, bytes, Frames] | None: ...  # noqa: D102
    def gone(self) -> list[bytes]: ...  # noqa: D102
    def send(self, route: bytes, frames: Frames) -> bool: ...  # noqa: D102
    def close(self) -> None: ...  # noqa: D102


class SiteLink(Protocol):
    """What carries frames to and from the coordinator (`dealer.Dealer`, `inproc.Spoke`)."""

    refusals: int
    connections_lost: int

    def receive(self, seconds: float) -> Frames | None: ...  # noqa: D102
    def send(self, frames: Frames) -> None: ...  # noqa: D102
    def retry(self) -> bool: ...  # noqa: D102
    def reconnect(self) -> None: ...  # noqa: D102
    def close(self) -> None: ...  # noqa: D102


class Unheard:
    """Messages sent and not yet acknowledged, up to a number of bytes; beyond, the oldest go."""

    def __init__(self, most: int) -> None:
        """Hold none."""
        self._most, self._bytes = most, 0
        self._messages: deque[tuple[int, Message, list[Frames], int]] = deque()

    def add(self, sequence: int, message: Message, frames: list[Frames], size: int) -> None:
        """Keep a message, in frames that nobody changes."""
        self._messages.append((sequence, message, frames, size))
        self._bytes += size + MESSAGE_BYTES
        while self._bytes > self._most:
            self._drop()

    def heard(self, sequence: int) -> None:
        """Drop what the other side has."""
        while self._messages and self._messages[0][0] <= sequence:
            self._drop()

    def after(self, sequence: int, sent: int) -> list[tuple[Message, list[Frames]]] | None:
        """Give the messages after one, up to the last that was sent; None where some are dropped."""
        self.heard(sequence)
        if not 0 <= sequence <= sent or len(self._messages) != sent - sequence:
            return None
        return [(message, frames) for _, message, frames, _ in self._messages]

    def clear(self) -> None:
        """Forget all."""
        self._messages.clear()
        self._bytes = 0

    def _drop(self) -> None:
        self._bytes -= self._messages.popleft()[3] + MESSAGE_BYTES


class Line:
    """One party's line to a peer: what was sent, what has come and is not yet heard, what it weighed."""

    def __init__(self, peer: str, *, sends: str, limit: int, ahead: int) -> None:
        """Start at the first message.

        Args:
            peer: the other party's name.
            sends: the direction in which this party sends, "up" or "down".
            limit: bytes of arrays that one message may carry.
            ahead: bytes that may wait here to be heard.
        """
        self.sent = self.seen = self.generation = 0
        self.counts = Counts()
        self.released = self.taken = 0  # messages, which reconnecting does not set back
        self._peer, self._ahead = peer, ahead
        self._out, self._in = sends, "down" if sends == "up" else "up"
        self._inbox: deque[tuple[Message, Size]] = deque()
        self.held, self._size = 0, Size()  # bytes that wait to be heard, and the last message's
        self._assembly = Assembly(limit)
        self._lender = Lender() if sends == "down" else None  # what goes down waits for no credit
        self.unheard: Unheard | None = None  # what may have to be sent again, where it may

    @property
    def bytes(self) -> Counter[str]:
        """Give the bytes of headers and arrays by direction, phase and kind."""
        return self.counts.bytes

    def frames(self, message: Message) -> list[Frames]:
        """Number and count a message, and give its two-frame messages."""
        self.sent += 1
        self.released += 1
        envelope = Envelope(self.generation, 0, self.sent, self.seen, message)  # type: ignore[arg-type]
        # copied, and sent from there: a model's tensors may change before the socket has read them
        frames = [[unchanging(part) for part in pair] for pair in encode(envelope)]
        size = size_of(frames)
        self._count(message, self._out, size)
        if self.unheard:
            self.unheard.add(self.sent, message, frames, size.bytes)
        return frames

    def again(self, after: int) -> list[tuple[Message, list[Frames]]] | None:
        """Give what was sent after a message, to be sent over a new connection; None: it is not all there.

        What was received of half a message is forgotten: it comes again too.
        """
        found = self.unheard.after(after, self.sent) if self.unheard else None
        if found is not None:
            self._drop_half()
            for _, frames in found:
                self.counts.add(f"{self._out}.control.resent", size_of(frames))
        return found

    def accept(self, frames: Frames) -> Message | None:
        """Put frames together; give the message when it is whole and new, and keep it to be heard."""
        self._size = self._size.plus(frames)
        if self._lender and self._lender.is_spent(self._assembly):
            raise ProtocolError(f"'{self._peer}' sent more of a message than it had credit for", self._peer)
        try:
            envelope = self._assembly.take(frames)
        except ProtocolError as error:
            raise ProtocolError(f"'{self._peer}' broke the protocol: {error}", self._peer) from None
        if envelope is None:
            return None
        size, self._size = self._size, Size()
        if self.unheard:
            self.unheard.heard(envelope.acknowledged)
        if not (self._is_new(envelope) and self._is_current(envelope)):
            return None
        self._inbox.append((envelope.message, size))
        self.held += size.bytes + MESSAGE_BYTES
        if self.held > self._ahead:
            raise ProtocolError(
                f"'{self._peer}' sent {self.held} bytes ahead of its turn, at most {self._ahead} wait",
                self._peer,
            )
        return envelope.message

    def waiting(self) -> bool:
        """Say whether a message is there to be heard."""
        return bool(self._inbox)

    def hear(self) -> Message:
        """Give the oldest message that waits; only now its bytes count, as they did when it was sent."""
        message, size = self._inbox.popleft()
        self.held -= size.bytes + MESSAGE_BYTES
        self.taken += 1
        self._count(message, self._in, size)
        return message

    def under_way(self) -> int:
        """Give the bytes, about, of a message under way that does not fit in the window; 0: there is none."""
        _, count = self._assembly.chunks
        return count * CHUNK_BYTES if count > WINDOW else 0

    def credit(self) -> Frames | None:
        """Give word for the peer that more of its message may come, where it is time to say so."""
        frames = self._lender.more(self._assembly) if self._lender else None
        if frames:
            self.counts.add(f"{self._out}.control.credit", size_of([frames]))
        return frames

    def begin(self, generation: int) -> None:
        """Begin a generation: what came of an earlier one and was not yet heard is void."""
        self.generation = generation
        self._inbox.clear()
        self.held = 0

    def restart(self) -> None:
        """Begin anew over a new connection; what was counted stays."""
        self.begin(0)
        self.sent = self.seen = 0
        self._drop_half()
        if self.unheard:
            self.unheard.clear()

    def state(self) -> dict[str, Any]:
        """Give what was counted."""
        return {**self.counts.state(), "released": self.released, "taken": self.taken}

    def load(self, state: dict[str, Any]) -> None:
        """Go on counting from there."""
        self.counts.load(state)
        self.released, self.taken = state["released"], state["taken"]

    def _drop_half(self) -> None:
        self._assembly.drop()
        self._size = Size()

    def _count(self, message: Message, direction: str, size: Size) -> None:
        self.counts.add(f"{direction}.{phase_of(message)}.{type(message).__name__.lower()}", size)

    def _is_new(self, envelope: Envelope) -> bool:
        if envelope.sequence > self.seen + 1:
            raise ProtocolError(
                f"'{self._peer}' sent message {envelope.sequence} after {self.seen}: messages in between "
                "were lost; restart the run",
                self._peer,
            )
        new = envelope.sequence == self.seen + 1
        self.seen += new
        return new

    def _is_current(self, envelope: Envelope) -> bool:
        """Say whether a message is of this generation; a Hello belongs to none, a Welcome begins the next."""
        if isinstance(envelope.message, Welcome) and envelope.generation > self.generation:
            self.begin(envelope.generation)
        return isinstance(envelope.message, Hello) or envelope.generation == self.generation


def expected(message: Message, kind: type[Kind], peer: str, position: Position | None) -> Kind:
    """Check that a message is the one the conversation allows now.

    Raises:
        ProtocolError: another kind of message, or one for another place in the schedule.
    """
    if isinstance(message, Refused):
        raise ProtocolError(f"'{peer}' refused: {message.reason}", peer)
    found = getattr(message, "position", None)
    if isinstance(message, kind) and (position is None or found == position):
        return message
    raise ProtocolError(
        f"'{peer}' sent {type(message).__name__} at {found}, expected {kind.__name__} at {position}; "
        "coordinator and site must run the same version and spec",
        peer,
    )
