"""Averaging of which the coordinator learns the sum alone (`coordinator.privacy.secure_sum`), both halves.

    site k        keys, sealed shares, then  n_k w_k and n_k  in fixed point, masked
    coordinator   sum_k n_k w_k / sum_k n_k

A sum over fewer sites than took part could be mended, but this version never goes on without a site: it
waits, and repeats the round. The repeated sum less the mended one is the lost site's own part. So a site
reveals its shares for the sum over all alone, and whoever is lost before it is there costs a new attempt,
under new masks.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from coordinator.algorithms.handing_on import sealer_of
from coordinator.algorithms.party import Party
from coordinator.algorithms.tensors import sent
from coordinator.errors import ProtocolError
from coordinator.privacy import shamir
from coordinator.privacy.fixed_point import decode, encode, laid_flat, lifted
from coordinator.privacy.secure_sum import KEY_BYTES, Summand, total
from coordinator.protocol.channel import CoordinatorChannel
from coordinator.protocol.messages import (
    Array,
    Position,
    SumKeys,
    SumMasked,
    SumShares,
    SumThere,
    SumUnmasking,
)
from coordinator.protocol.seals import Purpose
from coordinator.protocol.site_channel import SiteChannel
from coordinator.schedule import Average, LocalRound
from coordinator.specs import digest

Shapes = Sequence[tuple[int, ...]]


def give_summand(
    party: Party, item: Average | LocalRound, tensors: Sequence[Tensor], weight: float, channel: SiteChannel
) -> None:
    """Do a site's half: tell the weighted tensors and the weight, to be added to the others'."""
    mine, at = Summand(party.index, item.sites), place(item, party.index)
    channel.send(SumKeys(at, (bytes_of(mine.public),)))
    keys = [each.tobytes() for each in channel.receive(SumKeys, at).keys]
    share(party, mine, dict(zip(item.sites, keys, strict=False)), at, channel)
    flat = np.append(weight * laid_flat([sent(each) for each in tensors]), weight)
    channel.send(SumMasked(at, mine.masked(encode(flat, len(item.sites))).view(np.int64)))
    there = channel.receive(SumThere, at).sites
    if there != item.sites:
        raise ProtocolError(
            f"the coordinator asked for a sum over sites {list(there)} of {list(item.sites)}; the round is "
            "repeated with all, and the two would tell who was left out; nothing was revealed"
        )
    shares = mine.unmasking(there)
    channel.send(SumUnmasking(at, tuple(bytes_of(shares[site]) for site in item.sites)))


def share(party: Party, mine: Summand, keys: dict[int, bytes], at: Position, channel: SiteChannel) -> None:
    """Seal a share of each secret for every other site, and open theirs."""
    boxes, sealer, names = mine.boxes(keys), sealer_of(party), party.run.sites
    sealed = [sealer.seal(purpose(party, at, party.index, site), box) for site, box in boxes.items()]
    channel.send(SumShares(at, tuple(map(bytes_of, sealed))))
    heard = channel.receive(SumShares, at).boxes
    others = list(boxes)
    if len(heard) != len(others):
        raise ProtocolError(f"{len(heard)} sealed shares came, expected those of {len(others)} sites")
    for site, box in zip(others, heard, strict=True):
        opened = sealer.open(purpose(party, (*at[:2], site, at[3]), site, party.index), box.tobytes())
        try:
            mine.take(site, opened)
        except ProtocolError as error:
            raise ProtocolError(f"'{names[site]}': {error}") from None


def hear_sum(
    party: Party, item: Average | LocalRound, channel: CoordinatorChannel, shapes: Shapes
) -> list[Tensor]:
    """Do the coordinator's half; give the weighted mean of the sites' tensors.

    Raises:
        ProtocolError: a site sent what does not fit.
    """
    sites, names = item.sites, {site: channel.sites[site] for site in item.sites}
    ats = {site: place(item, site) for site in sites}
    keys = {
        s: checked(channel.receive(n, SumKeys, ats[s]).keys, 1, KEY_BYTES, n)[0] for s, n in names.items()
    }
    for site, name in names.items():
        channel.send(name, SumKeys(ats[site], tuple(bytes_of(keys[each]) for each in sites)))
    relay_shares(item, channel, ats)
    size = sum(int(np.prod(shape)) for shape in shapes) + 1
    masked = {s: words_of(channel.receive(n, SumMasked, ats[s]).words, size, n) for s, n in names.items()}
    for site, name in names.items():
        channel.send(name, SumThere(ats[site], sites))
    answers = {}
    for site, name in names.items():
        heard = channel.receive(name, SumUnmasking, ats[site]).shares
        found = checked(heard, len(sites), shamir.SHARE_BYTES, name)
        answers[site] = dict(zip(sites, found, strict=True))
    flat = decode(total(sites, keys, sites, masked, answers))
    means = lifted(flat[:-1] / flat[-1], shapes)
    return [torch.from_numpy(each.astype(np.float32)) for each in means]


def relay_shares(item: Average | LocalRound, channel: CoordinatorChannel, ats: dict[int, Position]) -> None:
    """Pass sealed shares on, unread: to each site those that the others sealed for it, in their order."""
    boxes: dict[tuple[int, int], Array] = {}
    for giver in item.sites:
        name, takers = channel.sites[giver], [site for site in item.sites if site != giver]
        heard = channel.receive(name, SumShares, ats[giver]).boxes
        if len(heard) != len(takers):
            raise ProtocolError(f"'{name}' sealed {len(heard)} shares, expected {len(takers)}", name)
        boxes |= {(giver, taker): box for taker, box in zip(takers, heard, strict=True)}
    for taker in item.sites:
        mine = tuple(boxes[giver, taker] for giver in item.sites if giver != taker)
        channel.send(channel.sites[taker], SumShares(ats[taker], mine))


def checked(arrays: Sequence[Array], count: int, size: int, sender: str) -> list[bytes]:
    """Take so many arrays of so many bytes.

    Raises:
        ProtocolError: there are more or fewer, or one is of another size.
    """
    if len(arrays) != count or any(each.dtype != "uint8" or each.shape != (size,) for each in arrays):
        raise ProtocolError(f"'{sender}' sent other than {count} times {size} bytes for a secure sum", sender)
    return [each.tobytes() for each in arrays]


def words_of(array: Array, size: int, sender: str) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    """Take masked words.

    Raises:
        ProtocolError: there are more or fewer than the model has numbers.
    """
    if array.dtype != "int64" or array.shape != (size,):
        raise ProtocolError(f"'{sender}' sent {array.dtype} {array.shape}, expected int64 ({size},)", sender)
    return array.view(np.uint64)


def purpose(party: Party, at: Position, giver: int, taker: int) -> Purpose:
    """Say what a sealed share is for."""
    names = party.run.sites
    return Purpose(f"secure sum {digest(party.run)}", at, names[giver], names[taker])


def bytes_of(content: bytes) -> Array:
    """Put bytes into an array."""
    return np.frombuffer(content, dtype=np.uint8)


def place(item: Average | LocalRound, site: int) -> Position:
    """Place a site's part in the schedule."""
    return (item.trial, item.round, site, -1)
