"""The network on paper: small runs whose time can be told by hand."""

from itertools import pairwise

import pytest

from coordinator.algorithms.cohort import Cohort
from coordinator.network import Line, busy, line_of, seconds_over
from tests.federation import a_run

SIZES = (32, 16)
COHORT = Cohort((6,), SIZES, (5, 5), (7, 7), (10, 5))
QUICK = Line(1e12, 1e12, 0.0)
ROUNDS = 3


def took(preset, lines, work=(0.0, 0.0), coordinator=0.0, **changes):
    run = a_run(preset, SIZES, training={"rounds": ROUNDS, "batch_size": 16}, **changes)
    return seconds_over(run, COHORT, lines, work, coordinator)


def test_latency_alone_counts_how_often_a_site_waits():
    """A second each way, and one for the Welcome.

    FedAvg: the model up, the average down, the loss up, the verdict down.

    Split: two steps there and back, the parts to the other site over the coordinator, its one step, the parts
    back, the validation records up, the verdict down: 4 + 2 + 2 + 2 + 1 + 1.
    """
    far = Line(1e12, 1e12, 1.0)
    assert took("fedavg", [far, QUICK]) == pytest.approx(4 * ROUNDS, abs=1e-3)
    assert took("split", [far, far]) == pytest.approx(12 * ROUNDS, abs=1e-3)
    assert took("splitfed_v1", [far, far]) == pytest.approx((4 + 2 + 2) * ROUNDS, abs=1e-3)
    assert took("local", [far, QUICK]) == pytest.approx(2, abs=1e-3)


def test_work_alone_is_shared_where_sites_go_on_together_and_added_where_they_take_turns():
    assert took("fedavg", [QUICK, QUICK], work=(6.0, 2.0)) == pytest.approx(6.0, abs=1e-3)
    assert took("fedavg", [QUICK, QUICK], work=(2.0, 2.0), coordinator=4.0) > 4.0
    assert took("split", [QUICK, QUICK], work=(6.0, 2.0)) > 6.0
    assert took("splitfed_v1", [QUICK, QUICK], work=(6.0, 2.0)) < took(
        "split", [QUICK, QUICK], work=(6.0, 2.0)
    )


def test_bandwidth_alone_is_the_bytes_over_it():
    """One site that sends a model of n floats each round; the other line is quick."""
    thin = Line(1000.0, 1e12, 0.0)
    parameters = 6 * 16 + 16 + 16 * 8 + 8 + 8 + 1
    expected = ROUNDS * 4 * parameters / 1000.0
    found = took("fedavg", [thin, QUICK])
    assert expected < found < expected + ROUNDS * 0.7  # and headers, losses and commits


def test_a_better_network_is_never_slower():
    lines = [[line_of(mbps, mbps, 20), line_of(mbps, mbps, 5)] for mbps in (0.1, 1, 10, 100)]
    for preset in ("fedavg", "split", "splitfed_v3", "split_parallel", "cyclic"):
        times = [took(preset, each, work=(0.1, 0.2), coordinator=0.1) for each in lines]
        assert all(before >= after for before, after in pairwise(times))


def test_units():
    assert line_of(8, 80, 20) == (1e6, 1e7, 0.02)
    assert busy({"north": {"cpu_seconds": 3.0}}, "north", 2.0) == 1.5
