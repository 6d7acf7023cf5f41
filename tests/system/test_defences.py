"""Defended strategies beside an undefended one, by real processes over real sockets."""

import json
import subprocess

import pandas as pd
import pytest

from tests.e2e.tiny_study import TASK, command, environment, launch, prepare_table, run_command

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


def test_predictions_of_a_model_under_noise_are_under_noise_and_counted(agreed, tmp_path, folder):
    home, plan = agreed
    if not (home / "results/split_noise").exists():
        results_of(agreed, "split_noise")
    (tmp_path / "keys").mkdir(mode=0o700)
    run_command(home, "coordinator", "keys", "--out", tmp_path / "keys", "coordinator", "site01")
    keys = ["--manifest", tmp_path / "keys/manifest.json", "--endpoint", f"ipc://{folder}/m"]
    keys += ["--run", "results/split_noise"]
    serve = ["coordinator", "serve-predictions", "--secret", tmp_path / "keys/coordinator.secret", *keys]
    serving = subprocess.Popen(
        command(*serve, "--state", tmp_path / "coordinator", "--times", "1"), cwd=home, env=environment(home)
    )
    prepared = plan["tasks"][TASK]["prepare"]["site01"]["folder"]
    asked = ["--site", "site01", "--secret", tmp_path / "keys/site01.secret", "--prepared", prepared]
    asked += ["--statistics", "results/agree/statistics.json", "--state", tmp_path / "site01"]
    try:
        run_command(home, "sites", "predict", *keys, *asked, "--out", tmp_path / "found.csv")
        assert serving.wait(60) == 0
    finally:
        serving.kill()
    released = pd.read_parquet(home / "results/split_noise/predictions/site01.parquet")
    found = pd.read_csv(tmp_path / "found.csv").set_index("record").loc[released["record"], "probability"]
    assert found.tolist() != released["score"].tolist()  # other noise than in the run
    told = json.loads((tmp_path / "site01/privacy.json").read_text())
    assert told["epsilon"]["test"] == pytest.approx(10)  # one release, with the noise that this budget needs
