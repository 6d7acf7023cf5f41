"""A few of the plans of ``make chaos``, by real processes over TCP through a proxy."""

import pytest

from tests.chaos.plans import draw
from tests.chaos.run import STRATEGIES, Study

pytestmark = pytest.mark.timeout(1800)  # a hang, not slowness: every plan has a bound of its own
SEED, PLANS = 0, 4


def test_runs_broken_at_random_end_as_their_policy_says(tmp_path):
    plans = [draw(SEED, number, STRATEGIES) for number in range(PLANS)]
    study = Study(tmp_path, tuple(dict.fromkeys(plan.strategy for plan in plans)))
    for plan in plans:
        study.carry_out(plan)
