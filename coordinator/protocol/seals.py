"""Parts handed on from site to site, sealed so that the coordinator relays what it cannot read.

An authenticated box (NaCl: Curve25519, XSalsa20, Poly1305) between the two sites' sealing keys; its
plaintext starts with what it is for, so that a box can be neither moved nor replayed.
"""

import json
from dataclasses import asdict, dataclass
from typing import Protocol

from nacl.exceptions import CryptoError
from nacl.public import Box, PrivateKey, PublicKey

from coordinator.errors import ProtocolError
from coordinator.protocol.keys import Manifest, Secret
from coordinator.protocol.messages import Position


@dataclass(frozen=True)
class Purpose:
    """What a sealed box is for; any difference on opening refuses it."""

    spec: str
    position: Position
    giver: str
    taker: str


class Seals(Protocol):
    """Seals and opens, here (`Sealer`) or where the keys are."""

    def seal(self, purpose: Purpose, content: bytes) -> bytes: ...  # noqa: D102
    def open(self, purpose: Purpose, sealed: bytes) -> bytes: ...  # noqa: D102


@dataclass(frozen=True)
class Sealer:
    """A site's means of sealing: its secret and everyone's public keys."""

    secret: Secret
    manifest: Manifest

    def seal(self, purpose: Purpose, content: bytes) -> bytes:
        """Seal content for ``purpose.taker``."""
        header = json.dumps(asdict(purpose)).encode()
        return bytes(self._box(purpose.taker).encrypt(len(header).to_bytes(4, "big") + header + content))

    def open(self, purpose: Purpose, sealed: bytes) -> bytes:
        """Open what ``purpose.giver`` sealed.

        Raises:
            ProtocolError: it was forged, changed, sealed by another, or meant for something else.
        """
        try:
            plain = self._box(purpose.giver).decrypt(sealed)
        except CryptoError:
            raise ProtocolError(f"parts said to come from '{purpose.giver}' were not sealed by it") from None
        size = 4 + int.from_bytes(plain[:4], "big")
        try:
            found = json.loads(plain[4:size])
        except ValueError:
            raise ProtocolError(f"'{purpose.giver}' sealed something that is no part of this run") from None
        if found != json.loads(json.dumps(asdict(purpose))):
            raise ProtocolError(f"parts from '{purpose.giver}' were sealed for {found}, expected {purpose}")
        return plain[size:]

    def _box(self, other: str) -> Box:
        return Box(PrivateKey(self.secret.seal), PublicKey(self.manifest[other].seal))
