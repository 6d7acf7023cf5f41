"""New records of every kind predicted by real processes: cut models over TCP, and whole ones exported."""

import csv
import json
import subprocess
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.e2e.tiny_study import command, environment, launch, run_command

pytestmark = pytest.mark.timeout(600)  # a hang, not slowness: this trains a study of each kind
NETWORK = "{{source: network, records: 120, pixels: 16, step_hours: 4.0, modalities: [{}]}}"
COLUMNS = "{patient: pid, record: visit, label: died, numeric: [age, hr]}"
TABLE = f"{{source: table, path: visits.csv, columns: {COLUMNS}}}"
# what a task reads: its data, model and cut
KINDS = {
    "series": (NETWORK.format("series"), "{name: gru, hidden: [8, 8]}", "gru"),
    "image": (NETWORK.format("image"), "{name: cnn, channels: [4, 8]}", "conv1"),
    "several": (
        NETWORK.format("table, series, image"), "{name: fusion, hidden: [8, 8], channels: [4]}", "fronts"
    ),
    "visits": (TABLE, "{name: mlp, hidden: [8]}", "layer1"),
}  # fmt: skip
HEADER = ["pid", "visit", "died", "age", "hr"]


def study_of(kind):
    data, model, cut = KINDS[kind]
    return (
        "name: kinds\nallow_pooling: true\nrelease: predictions\nruntime: host\nreference: split\n"
        f"tasks:\n  {kind}:\n    data: {data}\n    sites: [north, south]\n    model: {model}\n"
        f"    cut: {cut}\n    training: {{rounds: 1, batch_size: 16, learning_rates: [0.01]}}\n"
        "strategies: {split: {}}\n"
    )


def write_visits(path, columns=HEADER):
    draw = np.random.default_rng(0)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        for row in range(120):
            values = [f"p{row}", f"v{row}", row % 3 == 0, draw.integers(20, 90), 60 + row % 50]
            writer.writerow(dict(zip(HEADER, [*values[:2], int(values[2]), *values[3:]], strict=True)))


@pytest.fixture(params=KINDS)
def trained(request, tmp_path, monkeypatch):
    """Train a cut model of one kind; gives where the north's records lie, from the plan."""
    monkeypatch.chdir(tmp_path)
    write_visits(tmp_path / "visits.csv")
    Path("study.yaml").write_text(study_of(request.param), encoding="utf-8")
    (tmp_path / "sites").mkdir()
    for site in ("north", "south"):
        Path("sites", f"{site}.yaml").write_text(f"name: {site}\n", encoding="utf-8")
    run_command(tmp_path, "coordinator", "check", "study.yaml", f"--set=data_root={tmp_path}", "--plan", "p")
    plan = json.loads(Path("p").read_text(encoding="utf-8"))
    task = plan["tasks"][request.param]
    deal = task["deal"]
    run_command(tmp_path, "sites", "deal", "--spec", deal["spec"], "--out", deal["folder"])
    for site, job in task["prepare"].items():
        raw = Path(deal["folder"], site)
        run_command(
            tmp_path, "sites", "prepare", "--spec", job["spec"], "--input", raw, "--out", job["folder"]
        )
    agreed = f"kinds/statistics/{request.param}/0"
    launch(tmp_path, task["agree"]["0"]["spec"], agreed, statistics=None)
    run = f"kinds/runs/{request.param}/split/0"
    spec = plan["runs"][f"{request.param}/split/0"]["spec"]
    launch(tmp_path, spec, run, statistics=f"results/{agreed}/statistics.json")
    return request.param, Path("results", run), task["prepare"]["north"], Path(deal["folder"], "north")


def test_records_of_this_kind_are_predicted_cut_and_whole(trained, tmp_path):
    kind, run, ready, raw = trained
    if kind == "visits":
        without_the_outcome(raw)
    prepared, new = ["--prepared", ready["folder"]], ["--input", raw, "--spec", ready["spec"]]
    by_number, by_id = through_the_coordinator(tmp_path, run, {"prepared": prepared, "raw": new})
    released = pd.read_parquet(run / "predictions" / "north.parquet")
    found = by_number.set_index("record").loc[released["record"], "probability"]
    assert found.tolist() == released["score"].tolist()  # every bit
    assert len(by_number) > len(released) > 5
    part = run / "model" / "north.safetensors"
    run_command(tmp_path, "coordinator", "export", "--run", run, "--part", part, "--out", "exported")
    run_command(tmp_path, "sites", "predict", "--model", "exported", *new, "--out", "whole.csv")
    whole = pd.read_csv("whole.csv")
    assert whole["record"].tolist() == by_id["record"].tolist()
    assert_close(whole["probability"], by_id["probability"])
    assert_close(sorted(by_number["probability"]), sorted(by_id["probability"]))
    assert whole["probability"].nunique() > 10


def assert_close(one, other):
    """Batches that are cut elsewhere, or a model that is not cut, change a last digit."""
    np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)


def without_the_outcome(raw):
    """Leave the patients as they come: nobody knows how they will do."""
    (path,) = raw.iterdir()
    table = pd.read_csv(path, dtype=str)
    table.drop(columns="died").to_csv(path, index=False)


def through_the_coordinator(folder, run, asked):
    """Serve the coordinator's layers over TCP, and give what the north predicts for each kind of records."""
    (folder / "keys").mkdir(mode=0o700)
    run_command(folder, "coordinator", "keys", "--out", "keys", "coordinator", "north", "south")
    keys = ["--manifest", "keys/manifest.json"]
    serving = subprocess.Popen(
        command(
            "coordinator", "serve-predictions", "--run", run, "--secret", "keys/coordinator.secret", *keys,
            "--state", "served", "--times", len(asked), "--endpoint", "tcp://127.0.0.1:0",
        ),
        cwd=folder, env=environment(folder), stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        endpoint = published(folder / "served" / "endpoint", serving)
        own = ["--run", run, "--site", "north", "--secret", "keys/north.secret", "--endpoint", endpoint]
        for name, records in asked.items():
            state = ["--state", f"asked-{name}", "--out", f"{name}.csv"]
            run_command(folder, "sites", "predict", *own, *keys, *state, *records)
        said = serving.communicate(timeout=120)[1]
    finally:
        serving.kill()
    assert serving.returncode == 0, said
    assert endpoint.startswith("tcp://127.0.0.1:")
    return [pd.read_csv(folder / f"{name}.csv") for name in asked]


def published(path, process):
    while not path.exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    return path.read_text(encoding="utf-8")
