"""The secure sum equals the plain one whoever drops out, and no site gives both shares of anyone."""

import random

import numpy as np
import pytest

from coordinator.errors import DataError, ProtocolError
from coordinator.privacy import shamir
from coordinator.privacy.fixed_point import decode, encode, laid_flat, lifted, most
from coordinator.privacy.secure_sum import Summand, threshold, total

DRAWS = random.Random(8)


def attempt(words, lost_before_sharing=(), lost_before_masking=(), lost_before_unmasking=()):
    """Run one attempt over sites 0, 1, ...; give the sum, or raise as the coordinator would."""
    sites = tuple(range(len(words)))
    summands = {site: Summand(site, sites) for site in sites}
    keys = {site: each.public for site, each in summands.items()}
    shared = [site for site in sites if site not in lost_before_sharing]
    boxes = {site: summands[site].boxes(keys) for site in shared}
    for giver in shared:
        for taker in shared:
            if taker != giver:
                summands[taker].take(giver, boxes[giver][taker])
    there = [site for site in shared if site not in lost_before_masking]
    masked = {site: summands[site].masked(words[site]) for site in there}
    left = [site for site in there if site not in lost_before_unmasking]
    answers = {site: summands[site].unmasking(there) for site in left}
    return total(sites, keys, shared, masked, answers), there, masked


def pattern():
    """Draw sites, and who is lost when: as many as can be."""
    count = DRAWS.randint(3, 9)
    most_lost = count - threshold(count)
    lost = DRAWS.sample(range(count), DRAWS.randint(0, most_lost))
    stage = [DRAWS.randrange(3) for _ in lost]
    return count, *([site for site, when in zip(lost, stage, strict=True) if when == s] for s in range(3))


def test_the_secure_sum_equals_the_plain_sum_in_a_thousand_patterns_of_drop_outs():
    draws, lossy = np.random.default_rng(8), 0
    for _ in range(1000):
        count, *lost = pattern()
        values = [draws.normal(size=5) * 10 ** draws.uniform(-3, 3) for _ in range(count)]
        words = [encode(each, count) for each in values]
        found, there, _ = attempt(words, *lost)
        plain = sum((words[site] for site in there), np.zeros(5, dtype=np.uint64))
        assert np.array_equal(found, plain)
        assert np.allclose(decode(found), sum(values[site] for site in there), atol=count * 2.0**-33)
        lossy += len(there) < count
    assert lossy > 300


def test_what_a_site_sends_looks_like_chance_and_never_the_same():
    words = [encode(np.full(4000, float(site)), 4) for site in range(4)]
    _, _, masked = attempt(words)
    for site, each in masked.items():
        bits = np.unpackbits(each.view(np.uint8))
        assert abs(bits.mean() - 0.5) < 0.005
        assert not np.array_equal(each, attempt(words)[2][site])


def test_more_lost_than_can_be_mended_gives_nothing():
    words = [encode(np.ones(3), 6) for _ in range(6)]
    for lost in ({"lost_before_unmasking": (0, 1)}, {"lost_before_masking": (0, 1)}):
        with pytest.raises(ProtocolError, match=r"asked to unmask|5 are needed"):
            attempt(words, **lost)
    with pytest.raises(ProtocolError, match="4 sites shared, 5 are needed"):
        attempt(words, lost_before_sharing=(0, 1))


@pytest.mark.parametrize(("sites", "needed"), [(3, 3), (4, 3), (5, 4), (6, 5), (9, 7), (10, 7)])
def test_the_threshold_is_above_two_thirds(sites, needed):
    assert threshold(sites) == needed


def meet(count=4):
    sites = tuple(range(count))
    summands = {site: Summand(site, sites) for site in sites}
    keys = {site: each.public for site, each in summands.items()}
    boxes = {site: each.boxes(keys) for site, each in summands.items()}
    for giver in sites:
        for taker in sites:
            if taker != giver:
                summands[taker].take(giver, boxes[giver][taker])
    return summands, keys, boxes


def test_a_site_reveals_one_share_of_each_and_answers_once():
    summands, _, _ = meet()
    mine = summands[0]
    answer = mine.unmasking([0, 1, 2])
    assert set(answer) == {0, 1, 2, 3}
    for site in range(4):
        seed, key = mine.held[site]
        assert answer[site] == (key if site == 3 else seed)
    with pytest.raises(ProtocolError, match="a second time"):
        mine.unmasking([0, 1, 2, 3])


def test_a_sum_over_too_few_or_over_strangers_is_not_unmasked():
    for there in ([0, 1], [0, 1, 2, 9]):
        summands, _, _ = meet()
        with pytest.raises(ProtocolError, match="nothing was revealed"):
            summands[0].unmasking(there)


def test_shares_of_an_earlier_attempt_and_swapped_keys_are_refused():
    _, _, old = meet()
    summands, keys, boxes = meet()
    with pytest.raises(ProtocolError, match="another attempt"):
        summands[0].take(1, old[1][0])
    stranger = Summand(1, (0, 1, 2, 3))
    mine = Summand(0, (0, 1, 2, 3))
    mine.boxes({**keys, 0: mine.public, 1: stranger.public})
    with pytest.raises(ProtocolError, match="another key was passed on"):
        mine.take(1, boxes[1][0])
    with pytest.raises(ProtocolError, match="expected"):
        mine.boxes({0: mine.public})


def test_shares_that_do_not_fit_are_an_error_and_no_wrong_sum():
    sites = (0, 1, 2, 3)
    summands, keys, _ = meet()
    masked = {site: summands[site].masked(encode(np.ones(2), 4)) for site in (0, 1, 2)}
    answers = {site: summands[site].unmasking((0, 1, 2)) for site in (0, 1, 2)}
    answers[2] = {**answers[2], 1: answers[2][0]}
    with pytest.raises(ProtocolError, match="do not fit together"):
        total(sites, keys, sites, masked, answers)


@pytest.mark.parametrize(("count", "needed"), [(3, 3), (5, 4), (9, 7)])
def test_any_threshold_of_shares_gives_the_secret_and_fewer_do_not(count, needed):
    secret = bytes(range(32))
    shares = shamir.split(secret, count, needed)
    for _ in range(5):
        some = DRAWS.sample(sorted(shares), needed)
        assert shamir.join({x: shares[x] for x in some}) == secret
        with pytest.raises(ValueError, match="too few"):
            shamir.join({x: shares[x] for x in some[1:]})
    assert shamir.split(secret, count, needed) != shares


def test_what_could_go_around_is_refused_before_it_is_encoded():
    edge = most(5)
    assert np.array_equal(decode(encode(np.array([edge, -edge]), 5)), [edge, -edge])
    five = sum((encode(np.array([edge]), 5) for _ in range(5)), np.zeros(1, dtype=np.uint64))
    assert decode(five)[0] == 5 * edge
    for wrong in (1.001 * edge, np.nan, -np.inf):
        with pytest.raises(DataError, match="cannot be added up securely"):
            encode(np.array([wrong]), 5)


def test_tensors_lie_flat_and_are_lifted_again():
    tensors = [
        np.arange(6, dtype=np.float32).reshape(2, 3),
        np.array(7.0, dtype=np.float32),
        np.zeros((0, 2)),
    ]
    found = lifted(laid_flat(tensors), [each.shape for each in tensors])
    assert all(np.array_equal(a, b) for a, b in zip(tensors, found, strict=True))
