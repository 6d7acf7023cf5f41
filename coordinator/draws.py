"""Random draws keyed by what they are for, never by process, arrival or what was drawn before."""

from hashlib import blake2b


def key(*parts: int | str) -> int:
    """Hash (seed, purpose, position in the schedule, stage name, ...) to a 64-bit seed."""
    return int.from_bytes(blake2b(repr(parts).encode(), digest_size=8).digest())
