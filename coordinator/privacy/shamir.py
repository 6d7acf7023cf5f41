"""Shamir's secret sharing (1979): any t of n shares give the secret, fewer say nothing about it.

A polynomial of degree t - 1 over the field of integers modulo a prime, its value at 0 the secret, its other
coefficients drawn from the system's randomness; share i is its value at i.
"""

import secrets
from collections.abc import Mapping
from typing import Final

PRIME: Final = 2**521 - 1  # a Mersenne prime, above any secret of 64 bytes
SHARE_BYTES: Final = 66
SECRET_BYTES: Final = 32


def split(secret: bytes, count: int, threshold: int) -> dict[int, bytes]:
    """Split 32 bytes into shares, by their numbers from 1.

    Raises:
        ValueError: the threshold is not between 1 and the count, or the secret has another length.
    """
    if not 1 <= threshold <= count or len(secret) != SECRET_BYTES:
        raise ValueError(f"cannot share {len(secret)} bytes so that {threshold} of {count} shares give them")
    polynomial = [int.from_bytes(secret), *(secrets.randbelow(PRIME) for _ in range(threshold - 1))]
    return {x: _value(polynomial, x).to_bytes(SHARE_BYTES) for x in range(1, count + 1)}


def join(shares: Mapping[int, bytes]) -> bytes:
    """Give the secret of at least as many shares as it needs, by Lagrange's formula at 0.

    Raises:
        ValueError: they are not shares of one secret of 32 bytes.
    """
    total = 0
    for x, share in shares.items():
        above = below = 1
        for other in shares:
            if other != x:
                above, below = above * other % PRIME, below * (other - x) % PRIME
        total += int.from_bytes(share) * above * pow(below, -1, PRIME)
    secret = total % PRIME
    if secret >> (8 * SECRET_BYTES):
        raise ValueError("too few shares, or not of one secret")
    return secret.to_bytes(SECRET_BYTES)


def _value(polynomial: list[int], x: int) -> int:
    found = 0
    for coefficient in reversed(polynomial):
        found = (found * x + coefficient) % PRIME
    return found
