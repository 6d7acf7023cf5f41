"""A few of the plans of ``make chaos``, by real processes over TCP through a proxy, each on a small disk."""

import subprocess
import sys

import pytest

from containers.runtimes import problem
from tests.chaos.plans import draw
from tests.chaos.run import STRATEGIES
from tests.conftest import ROOT, require

pytestmark = pytest.mark.timeout(1800)  # a hang, not slowness: every plan has a bound of its own
SEED, PLANS = 0, 3


def numbers() -> list[str]:
    """Give the first plans, and the first that fills a disk and nothing else."""
    filling = (n for n in range(1000) if [f.kind for f in draw(SEED, n, STRATEGIES).faults] == ["fill"])
    return [*map(str, range(PLANS)), str(next(filling))]


def test_runs_broken_at_random_end_as_their_policy_says() -> None:
    if found := problem("bubblewrap"):
        require("bwrap", found)
    words = [sys.executable, "-m", "tests.chaos.run", "--seed", str(SEED), "--only", *numbers()]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{PLANS + 1} of {PLANS + 1} plans ended" in done.stdout
