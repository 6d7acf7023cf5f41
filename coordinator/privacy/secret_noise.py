"""Randomness that protects: drawn from a secret that never leaves its site, never from the study's seed.

    key = PRF(secret, run, kind, place in the schedule, hash of the clean content)

The same content in the same place gives the same draws: a message sent again, or a run that goes on from a
commit, tells nothing new. Other content gives independent ones. The PRF is BLAKE2b, its stream ChaCha20.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from nacl.bindings import crypto_aead_chacha20poly1305_ietf_encrypt
from numpy.typing import NDArray

Floats = NDArray[np.float64]
SECRET_BYTES = 32
TAG_BYTES = 16
NONCE = bytes(12)  # a key is used for one stream only
BITS = 52  # so that one half more is exact in a float64


@dataclass(frozen=True)
class Secret:
    """A site's secret for one run; what it keys is of no use to anyone else."""

    secret: bytes
    run: str

    def key(self, kind: str, place: tuple[int, ...], content: NDArray[Any] | None = None) -> bytes:
        """Give the 32 bytes that draws of a kind in a place for this content begin with."""
        found = hashlib.blake2b(key=self.secret, digest_size=SECRET_BYTES)
        found.update(repr((self.run, kind, tuple(int(each) for each in place))).encode())
        if content is not None:
            whole = np.ascontiguousarray(content)
            found.update(repr((whole.dtype.str, whole.shape)).encode())
            found.update(hashlib.sha256(whole.data.cast("B") if whole.size else b"").digest())
        return found.digest()


def stream(key: bytes, count: int) -> bytes:
    """Give so many bytes that nobody without the key can tell from chance."""
    return crypto_aead_chacha20poly1305_ietf_encrypt(bytes(count), None, NONCE, key)[:-TAG_BYTES]


def uniform(key: bytes, count: int) -> Floats:
    """Draw from (0, 1), both ends excluded."""
    whole = np.frombuffer(stream(key, 8 * count), dtype="<u8") >> np.uint64(64 - BITS)
    return (whole.astype(np.float64) + 0.5) / 2.0**BITS


def gaussian(key: bytes, shape: tuple[int, ...]) -> Floats:
    """Draw standard normal numbers (Box & Muller 1958)."""
    count = int(np.prod(shape))
    half = -(-count // 2)
    drawn = uniform(key, 2 * half)
    radius, angle = np.sqrt(-2 * np.log(drawn[:half])), 2 * np.pi * drawn[half:]
    found = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:count]
    return found.reshape(shape)


def laplace(key: bytes, shape: tuple[int, ...]) -> Floats:
    """Draw Laplace numbers of scale 1, by the inverse of their distribution."""
    drawn = uniform(key, int(np.prod(shape))) - 0.5
    return (-np.sign(drawn) * np.log1p(-2 * np.abs(drawn))).reshape(shape)


DRAWS = {"gaussian": gaussian, "laplace": laplace}
