"""Signatures (Ed25519) under what two parties keep of each other, so that neither can take it back."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from coordinator.errors import ProtocolError
from coordinator.protocol.keys import Manifest, Secret

What = str | int
COMMITTED, KEPT = "committed", "kept"
START: Final = "0" * 64


@dataclass(frozen=True)
class Signer:
    """A party's means of signing, and of checking what others signed, about one spec (its hash)."""

    name: str
    secret: Secret
    manifest: Callable[[], Manifest]
    spec: str

    def sign(self, *what: What) -> str:
        """Sign a statement; gives 128 hex digits."""
        return SigningKey(self.secret.sign).sign(_statement(self.spec, what)).signature.hex()

    def check(self, party: str, signature: str, *what: What) -> None:
        """Check that a party made this statement.

        Raises:
            ProtocolError: it did not, or is not in the manifest.
        """
        known = self.manifest().get(party)
        if known is None or not is_signed(known.sign, signature, self.spec, *what):
            raise ProtocolError(f"'{party}' did not sign that it {what[0]} {what[2]}, or not so", party)


def is_signed(key: bytes, signature: str, spec: str, *what: What) -> bool:
    """Say whether a signature fits a public key and a statement."""
    try:
        VerifyKey(key).verify(_statement(spec, what), bytes.fromhex(signature))
    except (BadSignatureError, ValueError, TypeError):
        return False
    return True


def next_head(before: str, row: Mapping[str, Any]) -> str:
    """Hash a commit's heads and signatures onto the head before (sha256, hex)."""
    kept = {name: row[name] for name in ("number", "heads", "signatures")}
    return hashlib.sha256(f"{before}{json.dumps(kept, sort_keys=True)}".encode()).hexdigest()


def _statement(spec: str, what: tuple[What, ...]) -> bytes:
    return json.dumps(["suture", spec, *what]).encode()
