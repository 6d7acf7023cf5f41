"""What a gate outside does with each message of a training process that it does not trust, and each answer.

It has the keys, the ledger and the policy; the training process has a socket to it. A message is put together
and checked before any of it goes on. What was sent already may be sent once more only as it was; what was
sealed leaves only if it was sealed here.
"""

import hashlib
import json
from collections.abc import Callable
from typing import Any, Final

from coordinator.errors import ConfigError, ProtocolError
from coordinator.protocol.assembly import Assembly
from coordinator.protocol.codec import Envelope, Frames, encode
from coordinator.protocol.messages import Activations, Bye, Hello, Message, Resumed, Sealed, SumShares
from coordinator.protocol.seals import Purpose, Sealer
from coordinator.protocol.sizes import size_of
from coordinator.specs import digest, run_digest
from sites.budget import Visits
from sites.conversation import check_conversation
from sites.far_gate import COMMIT, OPEN, SEAL, WENT_ON
from sites.gate import Gate, Work

LARGEST_MESSAGE: Final = 1 << 35  # bytes of arrays; what may leave is the policy's to limit
KEPT_BOXES: Final = 4096

Out = Callable[[Frames], None]


class Passage:
    """The two directions of one site's conversation; it outlives connections."""

    def __init__(
        self, gate: Gate, site: str, spec: Work, sealer: Sealer, visits: Visits | None = None
    ) -> None:
        """Let nothing through yet.

        Args:
            gate: holds the policy and the ledger.
            site: whose it is.
            spec: what is taken part in.
            sealer: of the site's keys.
            visits: know how many records a batch has, where activations leave.
        """
        self._gate, self._site, self._sealer, self._visits = gate, site, sealer, visits
        self._spec, self._sealed_for = run_digest(spec), digest(spec)
        self._sent: dict[int, str] = {}  # by number, what the coordinator has not said it has
        self._top = self._heard = 0
        self._boxes: dict[str, None] = {}  # hashes of what was sealed here, in order
        self.over = False  # the coordinator said Bye

    def join(self, out: Out, back: Out) -> None:
        """Begin with a new connection: frames for the coordinator go `out`, those for the site `back`."""
        self._out, self._back = out, back
        self._up, self._down = _Whole(), _Whole()

    def up(self, frames: Frames) -> None:
        """Take frames of the site's; send a message on once it is whole and allowed.

        Raises:
            ConfigError: it may not leave.
            ProtocolError: it is none, or out of order.
        """
        if (found := self._up.take(frames)) is None:
            return
        envelope, several = found
        if isinstance(envelope.message, Hello) and envelope.message.last_seen and not self._top:
            for pair in encode(Envelope(0, 0, 1, envelope.sequence, Resumed(-1))):
                self._back(pair)  # of a process before this one: begin anew
            return
        self._let(envelope, several)
        for pair in several:
            self._out(pair)

    def down(self, frames: Frames) -> None:
        """Take frames of the coordinator's; give a message to the site once it is whole and allowed.

        Raises:
            ProtocolError: the policy does not take it, or it is none.
        """
        if (found := self._down.take(frames)) is None:
            return
        envelope, several = found
        for number in [each for each in self._sent if each <= envelope.acknowledged]:
            del self._sent[number]
        if envelope.sequence > self._heard or isinstance(envelope.message, Resumed):
            self._heard = max(self._heard, envelope.sequence)
            self._gate.hear(envelope.message)
        for pair in several:
            self._back(pair)
        self.over |= isinstance(envelope.message, Bye)

    def answer(self, kind: bytes, parts: list[bytes]) -> list[bytes]:
        """Do what the training process asks for that has no keys and no ledger.

        Raises:
            ConfigError: the policy does not let it.
            ProtocolError: nothing of the kind can be asked.
        """
        try:
            if kind == COMMIT:
                said = self._gate.committed(int(parts[0]), "")
                return [said.ledger.encode(), said.signature.encode()]
            if kind == WENT_ON:
                self._gate.went_on(int(parts[0]))
                return []
            if kind in (SEAL, OPEN):
                return [self._boxed(kind, _purpose(json.loads(parts[0])), parts[1])]
        except (ValueError, TypeError, IndexError, KeyError) as error:
            raise ProtocolError(f"asked of the gate what makes no sense: {error}") from None
        raise ProtocolError(f"asked of the gate what it does not do ({kind!r})")

    def _boxed(self, kind: bytes, purpose: Purpose, content: bytes) -> bytes:
        own = purpose.giver if kind == SEAL else purpose.taker
        if own != self._site or purpose.spec.split()[-1:] != [self._sealed_for]:
            raise ProtocolError(f"asked of the gate to seal or open for '{own}', of another site or spec")
        if kind == OPEN:
            return self._sealer.open(purpose, content)
        box = self._sealer.seal(purpose, content)
        self._boxes[hashlib.sha256(box).hexdigest()] = None
        if len(self._boxes) > KEPT_BOXES:
            del self._boxes[next(iter(self._boxes))]
        return box

    def _let(self, envelope: Envelope, several: list[Frames]) -> None:
        """Write a message down as what it is: new, or once more."""
        message, number, size = envelope.message, envelope.sequence, size_of(several).bytes
        check_conversation(message, self._site, self._spec)
        if isinstance(message, Hello) and message.last_seen:
            self._gate.release_again(message, size)
            return
        content = hashlib.sha256(b"".join(hashlib.sha256(each).digest() for pair in several for each in pair))
        if isinstance(message, Hello):
            self._sent, self._top, self._heard = {}, 0, 0
        if number <= self._top:
            self._check_repeated(number, content.hexdigest())
            self._gate.release_again(message, size)
            return
        if number != self._top + 1:
            raise ProtocolError(f"message {number} after {self._top} at the gate; nothing was sent")
        self._check_content(message)
        self._gate.release(message, size)
        self._sent[number], self._top = content.hexdigest(), number

    def _check_repeated(self, number: int, content: str) -> None:
        if self._sent.get(number) != content:
            raise ConfigError(f"the release gate refused message {number} once more: it is not what it was")

    def _check_content(self, message: Message) -> None:
        """Hold what leaves against what can be known of it without the records."""
        boxes = {Sealed: ("box",), SumShares: ("boxes",)}.get(type(message), ())
        for name in boxes:
            found = getattr(message, name)
            for box in found if isinstance(found, tuple) else (found,):
                if hashlib.sha256(box.tobytes()).hexdigest() not in self._boxes and box.size:
                    raise ConfigError(
                        f"the release gate refused {type(message).__name__}: it was not sealed here"
                    )
        if isinstance(message, Activations) and self._visits:
            most = self._visits.count(message.position)
            arrays = [message.tensor, *([] if message.labels is None else [message.labels])]
            if any(array.ndim == 0 or len(array) > most for array in arrays):
                raise ConfigError(
                    f"the release gate refused Activations at {message.position}: the batch there has {most} "
                    "records, and more were to leave; nothing was sent"
                )


class _Whole:
    """Puts a message together, and keeps its frames as they came."""

    def __init__(self) -> None:
        self._assembly, self._frames = Assembly(LARGEST_MESSAGE), list[Frames]()

    def take(self, frames: Frames) -> tuple[Envelope, list[Frames]] | None:
        envelope = self._assembly.take(frames)
        self._frames.append([bytes(part) for part in frames])
        if envelope is None:
            return None
        several, self._frames = self._frames, []
        return envelope, several


def _purpose(said: dict[str, Any]) -> Purpose:
    return Purpose(said["spec"], tuple(said["position"]), said["giver"], said["taker"])
