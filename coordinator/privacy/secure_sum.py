"""A sum of which nobody learns a summand (Bonawitz 2017, figure 4), over those who do not drop out.

Words modulo 2^64; K sites, any t of which can mend what drop-outs leave. In one attempt site u

    advertise   draws a key pair c_u and gives its public half
    share       draws a seed b_u; splits it, and c_u's secret half, into shares (t of K), one of each for
                every other site, which the caller seals for it
    mask        y_u = x_u + PRG(b_u) + sum_{v > u} PRG(s_uv) - sum_{v < u} PRG(s_uv), s_uv agreed from c_u
                and c_v, over all v whose shares it holds
    unmask      given who is still there, for each v its share of b_v if v is there, else of c_v's secret
                half, and never both

and the coordinator adds up the y_u, takes PRG(b_u) away, and the pairs' masks of who dropped out. All is
drawn anew in each attempt; a box that was sealed for another attempt names other public keys and is refused.
With t > 2 K / 3 a coordinator cannot get both shares of anyone by telling sites different things, unless a
third of the sites collude with it.
"""

import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from nacl.bindings import crypto_scalarmult, crypto_scalarmult_base
from nacl.utils import random

from coordinator.errors import ProtocolError
from coordinator.privacy import shamir
from coordinator.privacy.fixed_point import Words
from coordinator.privacy.secret_noise import stream

KEY_BYTES: Final = 32
WORD_BYTES: Final = 8
BOXED_BYTES: Final = 2 * KEY_BYTES + 2 * shamir.SHARE_BYTES


def threshold(sites: int) -> int:
    """Give the number of sites that mend a sum: floor(2 K / 3) + 1."""
    return 2 * sites // 3 + 1


@dataclass
class Summand:
    """A site's side of one attempt; sites are numbers, in the study's order."""

    me: int
    sites: tuple[int, ...]
    secret: bytes = field(default_factory=lambda: random(KEY_BYTES), repr=False)
    seed: bytes = field(default_factory=lambda: random(KEY_BYTES), repr=False)
    keys: dict[int, bytes] = field(default_factory=dict)
    held: dict[int, tuple[bytes, bytes]] = field(default_factory=dict, repr=False)
    revealed: bool = False

    @property
    def public(self) -> bytes:
        """Give the public half of this attempt's key."""
        return crypto_scalarmult_base(self.secret)

    def boxes(self, keys: Mapping[int, bytes]) -> dict[int, bytes]:
        """Give what is sealed for every other site: both public keys, and a share of each secret.

        Raises:
            ProtocolError: a site's key is missing.
        """
        if set(keys) != set(self.sites):
            raise ProtocolError(f"public keys of sites {sorted(keys)} came, expected {sorted(self.sites)}")
        self.keys = dict(keys)
        count = len(self.sites)
        shares = [shamir.split(each, count, threshold(count)) for each in (self.seed, self.secret)]
        mine = self.sites.index(self.me) + 1
        self.held[self.me] = (shares[0][mine], shares[1][mine])
        return {
            site: self.public + self.keys[site] + shares[0][place] + shares[1][place]
            for place, site in enumerate(self.sites, start=1)
            if site != self.me
        }

    def take(self, site: int, box: bytes) -> None:
        """Keep what another site sealed for this one, its key as it says itself.

        Raises:
            ProtocolError: it was sealed for another attempt, or with another key than was passed on.
        """
        key, mine = box[:KEY_BYTES], box[KEY_BYTES : 2 * KEY_BYTES]
        if len(box) != BOXED_BYTES or mine != self.public or key != self.keys.get(site):
            raise ProtocolError(
                f"site {site} sealed shares for another attempt, or another key was passed on"
            )
        middle = 2 * KEY_BYTES + shamir.SHARE_BYTES
        self.held[site] = (box[2 * KEY_BYTES : middle], box[middle:])

    def masked(self, words: Words) -> Words:
        """Hide words under this site's own mask and the masks it has with all who shared.

        Raises:
            ProtocolError: too few shared for the sum ever to be mended.
        """
        if len(self.held) < threshold(len(self.sites)):
            raise ProtocolError(f"{len(self.held)} sites shared, {threshold(len(self.sites))} are needed")
        total = words + mask(self.seed, len(words))
        for other in sorted(set(self.held) - {self.me}):
            total = _add(total, self.me, other, agreed(self.secret, self.keys[other], self.me, other))
        return total

    def unmasking(self, there: Iterable[int]) -> dict[int, bytes]:
        """Give a share for every site that shared: of its seed if it is still there, else of its key.

        Raises:
            ProtocolError: asked twice, or fewer are there than mend a sum, or others than shared.
        """
        present = set(there)
        if (
            self.revealed
            or self.me not in present
            or not present <= set(self.held)
            or len(present) < threshold(len(self.sites))
        ):
            raise ProtocolError(
                f"asked to unmask a sum over sites {sorted(present)} of {sorted(self.held)}"
                f"{', a second time' if self.revealed else ''}; nothing was revealed"
            )
        self.revealed = True  # another answer could hold the other share of someone
        return {site: shares[site not in present] for site, shares in self.held.items()}


def total(
    sites: Sequence[int],
    keys: Mapping[int, bytes],
    shared: Iterable[int],
    masked: Mapping[int, Words],
    answers: Mapping[int, Mapping[int, bytes]],
) -> Words:
    """Give the sum of the words of those who sent theirs, at the coordinator.

    Args:
        sites: all in the attempt, in order.
        keys: public, by site.
        shared: whose shares all the others hold.
        masked: words by site, of who was still there.
        answers: shares by site that gave them and site they are of.

    Raises:
        ProtocolError: too few answered, or shares do not fit together.
    """
    numbers = {site: place for place, site in enumerate(sites, start=1)}
    if len(answers) < threshold(len(sites)):
        raise ProtocolError(
            f"{len(answers)} sites answered, {threshold(len(sites))} are needed to mend the sum"
        )
    found: Words = np.zeros(len(next(iter(masked.values()))), dtype=np.uint64)
    for words in masked.values():
        found = found + words
    for site in shared:
        secret = _joined(site, {numbers[giver]: answer[site] for giver, answer in answers.items()})
        if site in masked:
            found = found - mask(secret, len(found))
        else:
            found = _without(found, site, secret, keys, masked)
    return found


def agreed(secret: bytes, public: bytes, one: int, other: int) -> bytes:
    """Agree on a pair's seed: X25519, then HKDF (RFC 5869) with the pair's numbers."""
    pair = f"suture mask {min(one, other)} {max(one, other)}".encode()
    extracted = hmac.digest(bytes(KEY_BYTES), crypto_scalarmult(secret, public), hashlib.sha256)
    return hmac.digest(extracted, pair + b"\x01", hashlib.sha256)


def mask(seed: bytes, count: int) -> Words:
    """Draw so many words from a seed."""
    return np.frombuffer(stream(seed, WORD_BYTES * count), dtype="<u8").astype(np.uint64)


def _add(words: Words, site: int, other: int, seed: bytes) -> Words:
    drawn = mask(seed, len(words))
    return words + drawn if other > site else words - drawn


def _without(
    words: Words, gone: int, secret: bytes, keys: Mapping[int, bytes], masked: Mapping[int, Words]
) -> Words:
    """Take away the masks that those who are there have with one who has gone."""
    if crypto_scalarmult_base(secret) != keys[gone]:
        raise ProtocolError(f"the shares of site {gone}'s key give another key")
    for site in masked:
        drawn = mask(agreed(secret, keys[site], gone, site), len(words))
        words = words - drawn if gone > site else words + drawn
    return words


def _joined(site: int, shares: Mapping[int, bytes]) -> bytes:
    try:
        return shamir.join(shares)
    except ValueError as error:
        raise ProtocolError(f"the shares of site {site} do not fit together: {error}") from None
