from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.config import Partition
from coordinator.errors import ConfigError
from sites.partition import FEWEST, SMALLEST, largest_remainder, partition

SITES = ["north", "south", "east", "west"]
skews = st.none() | st.floats(0.05, 50)


@given(st.lists(st.integers(0, 1), min_size=4, max_size=300), skews, skews, st.integers(0, 3))
def test_every_patient_goes_to_one_site(outcomes, labels, sizes, seed):
    skew = Partition(label_skew=labels, quantity_skew=sizes)
    hands = partition(np.array(outcomes), SITES, skew, seed, "test")
    assert list(hands) == SITES
    assert sorted(np.concatenate(list(hands.values())).tolist()) == list(range(len(outcomes)))
    assert min(len(hand) for hand in hands.values()) >= min(SMALLEST, len(outcomes) // 4)


@given(st.lists(st.floats(0, 50), min_size=1, max_size=9))
def test_largest_remainder_keeps_the_total(shares):
    total = round(sum(shares))
    shares = np.array(shares) * (total / sum(shares) if total else 0)
    counts = largest_remainder(shares, total)
    assert counts.sum() == total
    assert (np.abs(counts - shares) < 1 + 1e-9).all()


def test_no_skew_deals_evenly():
    outcomes = np.arange(400) % 4 == 0
    hands = partition(outcomes.astype(np.int64), SITES, Partition(), 0, "test")
    assert [(len(hand), int(outcomes[hand].sum())) for hand in hands.values()] == [(100, 25)] * 4


def spread(outcomes, skew, measure):
    hands = [partition(outcomes, SITES, skew, seed, "test").values() for seed in range(20)]
    return np.mean([np.std([measure(hand) for hand in sites]) for sites in hands])


def test_a_smaller_concentration_is_more_skewed():
    outcomes = np.arange(800) % 2
    strong, weak = (
        spread(outcomes, Partition(label_skew=a), lambda h: outcomes[h].mean()) for a in (0.3, 30)
    )
    assert strong > 3 * weak
    strong, weak = (spread(outcomes, Partition(quantity_skew=a), len) for a in (0.3, 30))
    assert strong > 3 * weak


def test_the_strongest_skew_leaves_every_site_both_outcomes():
    outcomes = np.arange(569) % 3 == 0
    hands = partition(
        outcomes.astype(np.int64), SITES, Partition(label_skew=0.01, quantity_skew=0.01), 0, "test"
    )
    assert all(FEWEST <= outcomes[hand].sum() <= len(hand) - FEWEST for hand in hands.values())


def test_more_sites_than_patients_are_refused():
    with pytest.raises(ConfigError, match="3 patients cannot be dealt to 4 sites"):
        partition(np.array([0, 1, 1]), SITES, Partition(), 0, "test")


values = st.floats(-1e6, 1e6) | st.just(np.nan)


@given(st.lists(st.tuples(st.integers(0, 1), values), min_size=4, max_size=200), skews, skews, skews)
def test_with_a_variable_too_every_patient_goes_to_one_site(patients, features, labels, sizes):
    outcomes, shift = (np.array(each) for each in zip(*patients, strict=True))
    skew = Partition(label_skew=labels, quantity_skew=sizes, feature_skew=features)
    hands = partition(outcomes, SITES, skew, 1, "test", shift.astype(float))
    assert sorted(np.concatenate(list(hands.values())).tolist()) == list(range(len(outcomes)))
    again = partition(outcomes, SITES, skew, 1, "test", shift.astype(float))
    assert all(np.array_equal(hands[site], again[site]) for site in SITES)


@given(skews, skews, st.floats(0.01, 100))
def test_feature_skew_moves_who_goes_where_and_not_how_many(labels, sizes, features):
    outcomes, shift = np.arange(240) % 3 == 0, np.random.default_rng(0).normal(size=240)
    skew = Partition(label_skew=labels, quantity_skew=sizes)
    skewed = skew.model_copy(update={"feature_skew": features})
    counts = [
        [(len(hand), int(outcomes[hand].sum())) for hand in hands.values()]
        for hands in (
            partition(outcomes.astype(np.int64), SITES, each, 0, "test", shift) for each in (skew, skewed)
        )
    ]
    assert [sum(each) for each in zip(*counts[0], strict=True)] == [240, 80]
    assert counts[0] == counts[1]


def test_a_larger_feature_skew_is_more_skewed():
    outcomes, shift = np.arange(800) % 2, np.random.default_rng(0).normal(size=800)

    def between(skew):
        hands = [
            partition(outcomes, SITES, Partition(feature_skew=skew), seed, "test", shift)
            for seed in range(10)
        ]
        return np.mean([np.std([shift[hand].mean() for hand in sites.values()]) for sites in hands])

    spreads = [between(skew) for skew in (None, 0.01, 0.3, 1.0, 100.0)]
    assert spreads[1] == pytest.approx(spreads[0], abs=0.05)
    assert spreads[1] < spreads[2] < spreads[3] < spreads[4]
    sites = partition(outcomes, SITES, Partition(feature_skew=100.0), 0, "test", shift)
    bounds = [(shift[hand].min(), shift[hand].max()) for hand in sites.values()]
    assert all(high < low + 0.2 for (_, high), (low, _) in pairwise(bounds))


def test_feature_skew_without_a_variable_is_refused():
    with pytest.raises(ConfigError, match=r"data\.partition\.feature_skew: 'test' names no variable"):
        partition(np.arange(40) % 2, SITES, Partition(feature_skew=1.0), 0, "test")


@given(st.lists(st.integers(0, 3), min_size=4, max_size=300), skews, skews, st.integers(0, 3))
def test_every_patient_of_several_classes_goes_to_one_site(outcomes, labels, sizes, seed):
    skew = Partition(label_skew=labels, quantity_skew=sizes)
    hands = partition(np.array(outcomes), SITES, skew, seed, "test")
    assert sorted(np.concatenate(list(hands.values())).tolist()) == list(range(len(outcomes)))


def test_several_classes_are_dealt_evenly_or_skewed():
    outcomes = np.arange(800) % 4
    even = partition(outcomes, SITES, Partition(), 0, "test")
    assert [np.bincount(outcomes[hand]).tolist() for hand in even.values()] == [[50] * 4] * 4
    for number in range(4):
        strong, weak = (
            spread(outcomes, Partition(label_skew=a), lambda h, n=number: (outcomes[h] == n).mean())
            for a in (0.3, 30)
        )
        assert strong > 3 * weak
    # the shares of a symmetric Dirichlet spread alike, whichever class is divided first
    skew = Partition(label_skew=3)
    shares = [spread(outcomes, skew, lambda h, n=n: (outcomes[h] == n).mean()) for n in range(4)]
    assert max(shares) < 1.2 * min(shares)
