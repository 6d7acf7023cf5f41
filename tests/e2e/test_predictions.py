"""New records predicted by real processes with the models of a tiny study: cut and whole."""

import json
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from coordinator import specs
from coordinator.command_line import main
from coordinator.estimations import estimation_of
from coordinator.metrics import auroc
from coordinator.specs import Evaluation
from tests.e2e.tiny_study import TASK, command, environment, launch, prepare_table, run_command

STRATEGIES = ("split", "split_u", "fedavg")
SITES = {"predict": ("sites.predict", "predict")}
EXPORT = {"export": ("coordinator.export", "export")}
SEED_FOLDER = "ci/statistics/breast_cancer/0"


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Train three strategies; gives the folder and where the north's prepared and raw records lie."""
    folder = tmp_path_factory.mktemp("predictions")
    plan = prepare_table(folder)
    task = plan["tasks"][TASK]
    launch(folder, task["agree"]["0"]["spec"], SEED_FOLDER, statistics=None)
    statistics = folder / "results" / SEED_FOLDER / "statistics.json"
    for name in STRATEGIES:
        spec = plan["runs"][f"{TASK}/{name}/0"]["spec"]
        launch(folder, spec, f"ci/runs/{TASK}/{name}/0", statistics=statistics)
    (folder / "keys").mkdir(mode=0o700)
    run_command(folder, "coordinator", "keys", "--out", "keys", "coordinator", "north", "south")
    return folder, task


def prepared(task):
    return ["--prepared", task["prepare"]["north"]["folder"]]


def run_of(name):
    return f"results/ci/runs/{TASK}/{name}/0"


def assert_as_released(folder, name, out):
    """Compare the predictions of the north's test records with those its run released, every bit."""
    released = pd.read_parquet(folder / run_of(name) / "predictions" / "north.parquet")
    found = (pd.read_parquet if out.endswith(".parquet") else pd.read_csv)(folder / out)
    assert list(found.columns) == ["record", "probability"]
    assert found["record"].is_unique
    assert len(found) > len(released) > 10
    same = found.set_index("record").loc[released["record"], "probability"]
    assert same.tolist() == released["score"].tolist()


@pytest.mark.parametrize("name", ["split", "split_u"])
def test_a_cut_model_predicts_through_the_coordinator(study, tmp_path, folder, name):
    home, task = study
    endpoint, out = f"ipc://{folder}/m", f"predictions-{name}.parquet"
    keys = ["--manifest", "keys/manifest.json", "--endpoint", endpoint]
    serving = subprocess.Popen(
        command(
            "coordinator", "serve-predictions", "--run", run_of(name), "--secret", "keys/coordinator.secret",
            "--state", tmp_path / "coordinator", "--times", "1", *keys,
        ),
        cwd=home, env=environment(home), stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        own = ["--run", run_of(name), "--site", "north", "--secret", "keys/north.secret"]
        policy = tmp_path / "policy.yaml"
        policy.write_text("releases: [activations]\n")
        own += ["--policy", policy] if name == "split_u" else []
        told = [*own, "--state", tmp_path / "north", *keys, *prepared(task), "--out", out]
        run_command(home, "sites", "predict", *told)
        said = serving.communicate(timeout=60)[1]
    finally:
        serving.kill()
    assert serving.returncode == 0, said
    assert "'north' is done" in said
    assert_as_released(home, name, out)
    ledger = [json.loads(line) for line in (tmp_path / "north" / "ledger.jsonl").read_text().splitlines()]
    assert {entry["kind"] for entry in ledger} == {"Hello", "Activations", "Done"}
    assert not any(entry["labels"] for entry in ledger)
    assert json.loads((tmp_path / "coordinator" / "exit.json").read_text())["cause"] == "ok"


def test_a_policy_holds_for_predictions_too(study, tmp_path):
    folder, task = study
    endpoint, policy = f"ipc://{tmp_path}/m", tmp_path / "policy.yaml"
    policy.write_text("releases: [weights]\n")
    keys = ["--manifest", "keys/manifest.json", "--endpoint", endpoint, "--run", run_of("split")]
    serve = ["coordinator", "serve-predictions", "--secret", "keys/coordinator.secret", *keys]
    own = ["sites", "predict", "--site", "north", "--secret", "keys/north.secret", "--policy", policy, *keys]
    where = {"cwd": folder, "env": environment(folder), "stderr": subprocess.PIPE, "text": True}
    serving = subprocess.Popen(command(*serve, "--state", tmp_path / "coordinator"), **where)
    try:
        asked = [*own, "--state", tmp_path / "north", *prepared(task), "--out", "none.csv"]
        done = subprocess.run(command(*asked), timeout=60, **where)
    finally:
        serving.kill()
        serving.communicate()
    assert done.returncode == 2, done.stderr
    assert "the policy's releases do not list activations" in done.stderr
    (line,) = (tmp_path / "north" / "ledger.jsonl").read_text().splitlines()
    assert json.loads(line)["kind"] == "Hello"


@pytest.fixture
def here(study, monkeypatch):
    """Work in the study's folder, where its paths begin."""
    monkeypatch.chdir(study[0])
    return study


def whole(*words, out):
    """Predict in this process: it starts no other party."""
    return main("sites", SITES, ["predict", *map(str, words), "--out", out])


def test_an_average_predicts_at_its_site_and_wherever_it_is_exported_to(here):
    folder, task = here
    assert whole("--run", run_of("fedavg"), "--site", "north", *prepared(task), out="site.csv") == 0
    assert_as_released(folder, "fedavg", "site.csv")
    assert main("coordinator", EXPORT, ["export", "--run", run_of("fedavg"), "--out", "exported"]) == 0
    raw = Path(task["deal"]["folder"]) / "north"
    new = ["--input", raw, "--spec", task["prepare"]["north"]["spec"]]
    assert whole("--model", "exported", *new, out="raw.csv") == 0
    found, site = (pd.read_csv(name) for name in ("raw.csv", "site.csv"))
    assert found["record"].str.fullmatch(r"A\d{6}").all()  # the hospital's own ids, ordered as prepared
    assert (found["probability"] - site["probability"]).abs().max() < 1e-6


REFUSED = {
    "holds the rest, which never comes to a site": ("--run", run_of("split"), "--site", "north"),
    "leave --endpoint out": (
        "--run", run_of("fedavg"), "--site", "north", "--endpoint", "ipc://x", "--secret", "s", "--manifest",
        "m", "--state", "x",
    ),
    "--endpoint needs --secret, --manifest, --state": (
        "--run", run_of("split"), "--site", "north", "--endpoint", "ipc://x",
    ),
    "name the model": ("--site", "north"),
    "--run needs --site": ("--run", run_of("split")),
    "a site that trained no part of its own holds none": ("--run", run_of("split"), "--site", "west"),
    "not an exported model": ("--model", "nothing"),
}  # fmt: skip


@pytest.mark.parametrize("reason", REFUSED)
def test_what_cannot_be_predicted_is_refused_and_nothing_written(here, reason, capsys):
    folder, task = here
    assert whole(*REFUSED[reason], *prepared(task), out="no.csv") == 2
    assert reason in capsys.readouterr().err
    assert not (folder / "no.csv").exists()


def test_records_of_other_features_are_refused(here, capsys):
    folder, task = here
    shutil.copytree(task["prepare"]["north"]["folder"], "other")
    path = Path("other/prepared.json")
    summary = json.loads(path.read_text())
    summary["features"] = summary["features"][1:]
    path.write_text(json.dumps(summary))
    frame = pd.read_parquet("other/records.parquet")
    frame.drop(columns=frame.columns[4]).to_parquet("other/records.parquet")
    words = ("--run", run_of("fedavg"), "--site", "north", "--prepared", "other")
    assert whole(*words, out="no.csv") == 2
    assert "the agreed statistics have" in capsys.readouterr().err
    assert not (folder / "no.csv").exists()


def test_sites_estimate_from_the_scores_they_kept(study, tmp_path):
    """Real processes: one message of estimates leaves each site, and its AUROCs are those of its scores."""
    home, _ = study
    plan = json.loads((home / "plan.json").read_text())
    evaluation = specs.read(Evaluation, home / plan["evaluation"]["spec"])
    runs = [evaluation.runs[f"{TASK}/{name}/0"] for name in STRATEGIES]
    asked = estimation_of(evaluation.study, runs)
    kept = {site: {run: path.replace("state/ci/", "state/ci/runs/") for run, path in each.items()}
            for site, each in asked.scores.items()}  # fmt: skip
    (home / "estimation.json").write_text(asked.model_copy(update={"scores": kept}).model_dump_json())
    launch(home, "estimation.json", "ci/estimates", statistics=None)
    told = json.loads((home / "results/ci/estimates/estimates.json").read_text())
    for site in ("north", "south"):
        found = [pd.read_parquet(home / run_of(name) / f"predictions/{site}.parquet") for name in STRATEGIES]
        own = [auroc(each["label"].to_numpy(), each["score"].to_numpy()).value for each in found]
        assert told["sites"][site]["areas"] == pytest.approx(own, abs=1e-12)
        ledger = (home / "state/ci/estimates" / site / "ledger.jsonl").read_text().splitlines()
        assert [json.loads(line)["kind"] for line in ledger] == ["Hello", "Estimated", "Done"]
    assert not list((home / "results/ci/estimates").rglob("*.parquet"))
