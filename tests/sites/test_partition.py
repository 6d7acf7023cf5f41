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
