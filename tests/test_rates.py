"""The learning rate is a function of the round alone."""

from math import cos, pi

import pytest

from coordinator.config import Training
from coordinator.rates import rate_at

COSINE = [0.5 * (1 + cos(pi * t / 5)) for t in range(5)]


@pytest.mark.parametrize(
    ("keys", "factors"),
    [
        ({}, [1, 1, 1, 1, 1]),
        ({"schedule": "cosine"}, COSINE),
        ({"schedule": "step", "step_rounds": 2, "step_factor": 0.5}, [1, 1, 0.5, 0.5, 0.25]),
        ({"warm_up": 3}, [0.25, 0.5, 0.75, 1, 1]),
        ({"warm_up": 1, "schedule": "cosine", "rounds": 6}, [0.5, *COSINE]),
        (
            {"warm_up": 1, "schedule": "step", "step_rounds": 1, "step_factor": 0.1},
            [0.5, 1, 0.1, 0.01, 0.001],
        ),
    ],
)
def test_rates_follow_their_formula(keys, factors):
    training = Training(**{"rounds": 5, **keys})
    found = [rate_at(training, 0.2, round_) for round_ in range(training.rounds)]
    assert found == pytest.approx([0.2 * factor for factor in factors])


def test_a_constant_rate_is_the_grid_s_to_the_bit():
    assert {rate_at(Training(), 0.1 + 0.2, round_) for round_ in range(20)} == {0.1 + 0.2}
