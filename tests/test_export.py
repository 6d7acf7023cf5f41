"""An exported whole model: what is in the folder, what it predicts, and when there is none."""

import csv
import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from coordinator.command_line import main
from coordinator.exported import load, whole_party
from tests.finished_run import finish

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = {"export": ("coordinator.export", "export")}
COLUMNS = ("task", "strategy", "seed", "site", "metric", "value", "ci_low", "ci_high", "n")


def export(*words):
    return main("coordinator", COMMANDS, ["export", *map(str, words)])


def compared(folder):
    """Write a comparison of which one row is this run's, one has no value, and one is another's."""
    rows = [
        ("task", "split", 3, "site0", "auroc", 0.8125, 0.7, 0.9, 7),
        ("task", "split", 3, "site1", "auroc", "", "", "", 7),
        ("task", "split", 4, "site0", "auroc", 0.5, 0.4, 0.6, 7),
    ]
    with (folder.parents[3] / "comparison.csv").open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows])


@pytest.fixture
def split(tmp_path):
    folder, everyone = finish(tmp_path, "split")
    return folder, folder / "model" / "site1.safetensors", everyone


def test_a_split_model_is_exported_where_a_site_gives_its_part(split, tmp_path):
    folder, given, everyone = split
    compared(folder)
    assert export("--run", folder, "--part", given, "--out", tmp_path / "out") == 0
    out = tmp_path / "out"
    names = {"model.safetensors", "model.json", "statistics.json", "README.md"}
    assert {path.name for path in out.iterdir()} == names
    model, what = load(out)
    assert not model.training
    test = everyone["site0"][0].rows.test[0]
    with torch.inference_mode():
        assert torch.equal(model(test.inputs), everyone["site0"][1][0])
    assert what.sources.keys() == {"coordinator", "site1"}
    card = (out / "README.md").read_text()
    for words in (
        "trained by `split`", "| site0 | 60 | 5 | 7 |", "| site0 | auroc | 0.812 (0.700 to 0.900) | 7 |",
        "| site1 | auroc | not available | 7 |", "not a medical device", "`x0`, `x1`", what.sha256,
        what.sources["coordinator"]["back"].sha256, "| training.learning_rates | 0.05 |",
    ):  # fmt: skip
        assert words in card, card
    assert "0.5 " not in card


def test_the_card_s_line_loads_the_model(split, tmp_path):
    folder, given, _ = split
    export("--run", folder, "--part", given, "--out", tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text()
    (line,) = [line.strip() for line in card.splitlines() if line.startswith("    python -c ")]
    program, *words = shlex.split(line)
    assert program == "python"
    done = subprocess.run(
        [sys.executable, *words], cwd=tmp_path / "out", env={"PYTHONPATH": str(ROOT)}, capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Part(")
    assert "(layer2)" in done.stdout


def test_a_card_says_that_a_run_was_not_compared(split, tmp_path):
    folder, given, _ = split
    export("--run", folder, "--part", given, "--out", tmp_path / "out")
    assert "Not compared yet" in (tmp_path / "out" / "README.md").read_text()


def refused(capsys, *words):
    assert export(*words) == 2
    return capsys.readouterr().err


def test_what_cannot_be_exported_is_refused_with_its_reason(split, tmp_path, capsys):
    folder, given, _ = split
    out = ("--out", tmp_path / "out")
    assert "never goes to a site" in refused(capsys, "--run", folder, *out)
    back = folder / "model" / "coordinator.safetensors"
    assert "not a site's file; name one of site0, site1" in refused(
        capsys, "--run", folder, "--part", back, *out
    )
    private, _ = finish(tmp_path / "private", "split_private")
    assert "the sites' parts are private" in refused(capsys, "--run", private, *out)
    average, _ = finish(tmp_path / "average", "fedavg")
    assert "--part" in refused(capsys, "--run", average, "--part", given, *out)
    assert not (tmp_path / "out").exists()
    assert "name the folder of a finished run" in refused(capsys, "--run", tmp_path / "none", *out)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("mine")
    assert "not an empty folder" in refused(
        capsys, "--run", folder, "--part", given, "--out", tmp_path / "full"
    )
    assert (tmp_path / "full" / "letter.txt").read_text() == "mine"


def test_other_statistics_are_refused(split, tmp_path, capsys):
    folder, given, _ = split
    path = folder.parents[3] / "statistics" / "task" / "3" / "statistics.json"
    statistics = json.loads(path.read_text())
    statistics["numeric"][0]["mean"] = 0.1
    path.write_text(json.dumps(statistics))
    said = refused(capsys, "--run", folder, "--part", given, "--out", tmp_path / "out")
    assert "another normalisation than the model was trained under" in said


def test_a_changed_export_does_not_load(split, tmp_path):
    folder, given, _ = split
    export("--run", folder, "--part", given, "--out", tmp_path / "out")
    path = tmp_path / "out" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    with pytest.raises(Exception, match=r"not the file whose hash model\.json has"):
        load(tmp_path / "out")


def test_a_model_is_exported_without_what_only_training_needs(tmp_path):
    """Neither the outcomes' counts, from which class weights come, nor a GPU."""
    folder, everyone = finish(tmp_path, "fedavg", training={"class_weights": "balanced"})
    assert export("--run", folder, "--out", tmp_path / "out") == 0
    model, what = load(tmp_path / "out")
    test = everyone["site0"][0].rows.test[0]
    with torch.inference_mode():
        assert torch.equal(model(test.inputs), everyone["site0"][1][0])
    elsewhere = what.run.model_copy(update={"devices": {"coordinator": "cuda"}})
    party = whole_party(elsewhere, what.input_shapes, dict(model.state_dict()))
    assert party.parts["model"].device == "cpu"
