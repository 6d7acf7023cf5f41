"""Defended strategies beside an undefended one, by real processes over real sockets."""

import json

import pytest

from tests.e2e.tiny_study import TASK, launch, prepare_table

NOISE = {"preset": "split", "privacy": {"noise": {"clip": 1.0}, "budget": {"epsilon": 10}}}
SECURE = {"preset": "fedavg", "secure_aggregation": True}
DP = {"preset": "fedavg", "privacy": {"dp_sgd": {"clip": 0.5}, "budget": {"epsilon": 8}}}
DEFENDED = {"split_noise": NOISE, "secure": SECURE, "private": DP}
SETTINGS = {name: json.dumps({**settings, "tasks": [TASK]}) for name, settings in DEFENDED.items()}


@pytest.fixture(scope="module")
def agreed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("defences")
    options = [f"--set=tasks.{TASK}.sites=3"]
    plan = prepare_table(folder, *SETTINGS, options=options, settings=SETTINGS)
    launch(folder, plan["tasks"][TASK]["agree"]["0"]["spec"], "agree", statistics=None)
    return folder, plan


def results_of(agreed, strategy):
    folder, plan = agreed
    statistics = folder / "results/agree/statistics.json"
    launch(folder, plan["runs"][f"{TASK}/{strategy}/0"]["spec"], strategy, statistics=statistics)
    return folder / "results" / strategy


def lines_of(agreed, strategy, name):
    path = agreed[0] / "state" / strategy / "site01" / name
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize(("strategy", "epsilon"), [("split_noise", 10), ("private", 8)])
def test_an_account_is_kept_within_its_budget_and_told(agreed, strategy, epsilon):
    results = results_of(agreed, strategy)
    for site in ("site01", "site02", "site03"):
        told = json.loads((results / "privacy" / f"{site}.json").read_text())
        assert 0.9 * epsilon < told["epsilon"]["train"] <= epsilon
        assert told["claims"][0]["not_covered"]
    assert len(lines_of(agreed, strategy, "account.jsonl")) > 4
    log = (agreed[0] / "state" / strategy / "site01" / "log-1.txt").read_text()
    assert "privacy: epsilon of the worst patient" in log


def test_of_a_secure_average_no_site_s_weights_pass_and_the_ledger_says_so(agreed):
    secure, plain = results_of(agreed, "secure"), results_of(agreed, "fedavg")
    losses = [json.loads((each / "history.jsonl").read_text().splitlines()[-1]) for each in (secure, plain)]
    assert losses[0]["validation_loss"] == pytest.approx(losses[1]["validation_loss"], abs=1e-4)
    kinds = {line["kind"] for line in lines_of(agreed, "secure", "ledger.jsonl")}
    assert {"SumKeys", "SumShares", "SumMasked", "SumUnmasking"} <= kinds
    assert "Weights" not in kinds
    costs = json.loads((secure / "costs.json").read_text())
    assert costs["site01"]["bytes_up.training.summasked"] > 0
