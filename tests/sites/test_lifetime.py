"""What runs take of a site's budget adds up over seeds, arms and begun-anew state, and never passes it."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from coordinator.config import Budget, DpSgd, Noise, Policy, Privacy
from coordinator.errors import ConfigError, DataError
from sites.approval import not_permitted
from sites.lifetime import SPENT, reserve, told_by
from tests.federation import a_run

SECRET = bytes(32)
POLICY = Policy(
    releases=("activations", "labels", "metrics", "sealed parts", "weights"),
    budget=Budget(epsilon=25.0, delta=1e-4),
)


def a_noisy_run(seed: int = 0, epsilon: float = 10.0):
    privacy = Privacy(noise=Noise(clip=1.0), budget=Budget(epsilon=epsilon, delta=1e-5))
    return a_run("split", (40, 30), privacy=privacy).model_copy(update={"seed": seed})


def test_a_run_with_which_the_sum_would_pass_the_budget_does_not_begin(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    reserve(POLICY, policy, a_noisy_run(0), SECRET)
    reserve(POLICY, policy, a_noisy_run(1), SECRET)
    before = (tmp_path / SPENT).read_bytes()
    with pytest.raises(ConfigError, match=r"2 runs took epsilon 20 .* this one needs 10"):
        reserve(POLICY, policy, a_noisy_run(2), SECRET)
    assert (tmp_path / SPENT).read_bytes() == before
    reserve(POLICY, policy, a_noisy_run(2, epsilon=5.0), SECRET)  # exactly what is left


def test_a_run_that_goes_on_takes_nothing_more_and_one_begun_anew_takes_it_again(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    for _ in range(3):
        reserve(POLICY, policy, a_noisy_run(), SECRET)
    assert len((tmp_path / SPENT).read_text().splitlines()) == 1
    reserve(POLICY, policy, a_noisy_run(), bytes(31) + b"1")  # another state folder: other noise
    with pytest.raises(ConfigError, match="2 runs took"):
        reserve(POLICY, policy, a_noisy_run(), bytes(31) + b"2")


def test_a_patient_added_or_removed_counts_twice() -> None:
    private = Privacy(dp_sgd=DpSgd(clip=1.0), budget=Budget(epsilon=2.0, delta=1e-6))
    told = told_by(a_run("fedavg", (40, 30), privacy=private))
    assert told.epsilon == 4.0
    assert told.delta == pytest.approx(8.389e-6, rel=1e-3)
    assert told_by(a_noisy_run()) == (10.0, 1e-5)


def test_runs_that_begin_at_once_do_not_both_take_the_last_of_it(tmp_path: Path) -> None:
    def take(seed: int) -> bool:
        try:
            reserve(POLICY, tmp_path / "policy.yaml", a_noisy_run(seed), SECRET)
        except ConfigError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(take, range(8))) == 2


def test_what_has_no_budget_is_refused_and_a_damaged_sum_is_not_zero(tmp_path: Path) -> None:
    (problem,) = not_permitted(POLICY, None, a_run("split", (40, 30)))
    assert "this run has no privacy.budget" in problem
    assert not_permitted(POLICY, None, a_noisy_run()) == []
    assert not_permitted(POLICY, None, a_run("local", (40, 30))) == []
    outside = POLICY.model_copy(update={"gate": "outside"})
    (problem,) = not_permitted(outside, None, a_noisy_run())
    assert "set gate: inside" in problem
    free = POLICY.model_copy(update={"budget": None})
    assert not_permitted(free, None, a_run("split", (40, 30))) == []
    reserve(free, tmp_path / "policy.yaml", a_noisy_run(), SECRET)
    assert not (tmp_path / SPENT).exists()
    (tmp_path / SPENT).write_text('{"key": "a"}\n')
    with pytest.raises(DataError, match="restore it"):
        reserve(POLICY, tmp_path / "policy.yaml", a_noisy_run(), SECRET)
