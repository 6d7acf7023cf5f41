"""The account: by patient, on the disk, never set back, never overdrawn."""

import json

import numpy as np
import pytest

from coordinator.config import Budget
from coordinator.errors import ConfigError, DataError
from coordinator.privacy.accounting import Cost, noise_cost
from sites.account import Account

ONCE = noise_cost("gaussian", 10.0)
PATIENTS = {"train": np.array([7, 7, 9, 8]), "test": np.array([1, 2])}


def account(path, epsilon=None):
    return Account(path / "account.jsonl", PATIENTS, epsilon and Budget(epsilon=epsilon))


def test_a_patient_s_records_add_up_and_the_worst_patient_counts(tmp_path):
    mine = account(tmp_path)
    assert mine.most_records("train") == 2
    mine.charge("a", "train", np.array([0, 2]), ONCE)
    mine.charge("b", "train", np.array([1]), ONCE)
    assert mine.epsilons() == {"train": ONCE.times(2).epsilon(1e-5), "test": 0.0}


def test_the_same_release_costs_nothing_again_also_after_a_restart(tmp_path):
    for _ in range(2):
        mine = account(tmp_path)
        for _ in range(2):
            mine.charge("a", "train", np.array([2]), ONCE)
        assert mine.epsilons()["train"] == ONCE.epsilon(1e-5)
    mine.charge("other noise", "train", np.array([2]), ONCE)
    assert account(tmp_path).epsilons()["train"] == ONCE.times(2).epsilon(1e-5)


def test_nothing_is_written_down_that_would_overdraw_it(tmp_path):
    mine = account(tmp_path, ONCE.times(3).epsilon(1e-5))
    for key in "abc":
        mine.charge(key, "train", np.array([2]), ONCE)
    with pytest.raises(ConfigError, match=r"would be .* and the budget is"):
        mine.charge("never", "train", np.array([2]), ONCE)
    mine.charge("e", "train", np.array([3]), ONCE)  # another patient's is open
    assert not mine.affords("train", ONCE)
    assert mine.affords("test", ONCE.times(3))
    assert not mine.affords("test", ONCE.times(4))
    assert "never" not in (tmp_path / "account.jsonl").read_text()


def test_what_was_decided_stays_decided(tmp_path):
    mine = account(tmp_path)
    assert mine.decided((0, 1), lambda: True)
    assert account(tmp_path).decided((0, 1), lambda: False)
    assert not mine.decided((0, 2), lambda: False)


def test_a_line_that_was_cut_off_is_ended_and_another_damage_is_not_passed_over(tmp_path):
    path = tmp_path / "account.jsonl"
    account(tmp_path).charge("a", "train", np.array([2]), ONCE)
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"key": "b", "ro')
    mine = account(tmp_path)
    assert mine.epsilons()["train"] == ONCE.epsilon(1e-5)
    mine.charge("c", "train", np.array([2]), ONCE)
    assert account(tmp_path).epsilons()["train"] == ONCE.times(2).epsilon(1e-5)
    path.write_bytes(b"lost\n" + whole)
    with pytest.raises(DataError, match="not a privacy account"):
        account(tmp_path)


def test_records_of_an_earlier_attempt_that_had_more_are_known(tmp_path):
    Account(tmp_path / "account.jsonl", {"test": np.arange(9)}).charge("a", "test", np.arange(9), ONCE)
    few = Account(tmp_path / "account.jsonl", {"test": np.arange(2)})
    few.charge("b", "test", np.arange(2), ONCE)
    assert few.epsilons() == {"test": ONCE.times(2).epsilon(1e-5)}


def test_a_line_says_when_what_and_whose(tmp_path):
    account(tmp_path).charge("a", "train", np.array([2, 0]), Cost(pure=1.0, pure_rho=0.5))
    assert [json.loads(line) for line in (tmp_path / "account.jsonl").read_text().splitlines()] == [
        {"key": "a", "role": "train", "records": [2, 0], "cost": [0.0, 1.0, 0.5]}
    ]
