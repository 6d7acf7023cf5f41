"""Bad configurations stop with exit status 2, the line and the nearest name; the lists of keys hold."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from coordinator.__main__ import COMMANDS
from coordinator.command_line import main
from coordinator.config import Policy, Site, Study
from coordinator.errors import ConfigError
from coordinator.study import read_study
from tests.config_keys import README, SCHEMA, readme, rows, schema

ROOT = Path(__file__).resolve().parent.parent
GOOD = (ROOT / "config" / "studies" / "ci.yaml").read_text(encoding="utf-8")


def study_file(folder: Path, text: str, *, own_sites: bool = False) -> Path:
    """Write a study into a config folder with the sites of this checkout."""
    config = folder / "config"
    config.mkdir(exist_ok=True)
    if own_sites:
        shutil.copytree(ROOT / "config" / "sites", config / "sites")
    else:
        (config / "sites").symlink_to(ROOT / "config" / "sites")
    path = config / "study.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def check(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    """Run the command within this process: its exit status and what it says."""
    status = main("coordinator", COMMANDS, ["check", *map(str, arguments)])
    return status, capsys.readouterr().err


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    outside = {name: value for name, value in os.environ.items() if name != "SUTURE_DATA_ROOT"}
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder, capture_output=True, text=True, env=outside | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def line_of(text: str, part: str) -> int:
    return next(i for i, line in enumerate(text.splitlines(), start=1) if part in line)


def changed(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new, 1)


BAD = {
    "unknown key": (changed("allow_pooling: true", "allow_poolin: true"), "allow_poolin", "'allow_pooling'"),
    "unknown key below": (changed("dropout: 0.1", "drop_out: 0.1"), "drop_out", "'dropout'"),
    "wrong type": (
        changed("bootstrap: 200", "bootstrap: many"),
        "bootstrap: many",
        "'bootstrap' is \"many\"",
    ),
    "out of range": (changed("seeds: [0]", "seeds: [-1]"), "seeds: [-1]", "greater than or equal to 0"),
    "key twice": (changed("bootstrap: 200", "seeds: [1]"), "seeds: [1]", "twice"),
    "not yaml": (changed("seeds: [0]", "seeds: [0"), "", "not YAML"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_key_is_shown_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    text, part, message = BAD[name]
    status, said = check(capsys, study_file(tmp_path, text))
    assert status == 2
    assert message in said
    if part:
        assert f"study.yaml:{line_of(text, part)}:" in said


# name -> the study, the line at fault (None: one of several could be named), what the message says
COMBINATIONS = {
    "unknown strategy": (changed("  fedavg: {}", "  fedavgg: {}"), "fedavgg", "did you mean 'fedavg'?"),
    "unknown source": (
        changed("source: breast_cancer", "source: breast_cancre"),
        "breast_cancre",
        "did you mean 'breast_cancer'?",
    ),
    "unknown site": (changed("[north, south]", "[north, sout]"), None, "did you mean 'south'?"),
    "unknown model": (changed("name: mlp", "name: mpl"), "mpl", "did you mean 'mlp'?"),
    "unknown stage": (changed("cut: layer1", "cut: layer_1"), None, "did you mean 'layer1'?"),
    "pooling not allowed": (changed("allow_pooling: true", "allow_pooling: false"), None, "allow_pooling"),
    "a table model for images": (
        changed("name: mlp", "name: cnn"),
        "name: cnn",
        "'cnn' reads image, 'breast_cancer' gives table",
    ),
    "cannot be cut": (
        changed("name: mlp, hidden: [16, 8], dropout: 0.1", "name: logistic_regression"),
        "  split:",
        "cannot be cut",
    ),
    "axis it does not have": (
        changed("  local: {}", "  local: {labels: private}"),
        "labels",
        "no such setting",
    ),
    "reference not in it": (
        changed("name: ci", "name: ci\nreference: splitt"),
        "reference",
        "did you mean 'split'?",
    ),
}


@pytest.mark.parametrize("name", COMBINATIONS)
def test_what_does_not_go_together_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    text, part, message = COMBINATIONS[name]
    status, said = check(capsys, study_file(tmp_path, text))
    assert status == 2
    assert message in said
    line = str(line_of(text, part)) if part else r"\d+"
    assert re.search(rf"study\.yaml:{line}:", said)


def test_of_a_thousand_problems_the_first_are_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = study_file(tmp_path, GOOD + "".join(f"key{i}: 1\n" for i in range(1000)))
    status, said = check(capsys, path)
    assert (status, len(said.splitlines()), "and 980 more problems" in said) == (2, 21, True)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("seeds=2020-01-01", "'seeds' is \"2020-01-01\""),
        ("seeds=[&a [*a]]", "anchors and aliases"),
        ("seeds=[-1]", "greater than or equal to 0"),
        ("seeds=[0", "not YAML"),
        ("title=!!binary aGVsbG8=", "tags such as"),
        ("title=Trial: the second", "valid string"),
        ("title=@home", "not YAML"),
        ("title=\udce9", "is not text"),
        ("seeds=" + "[" * 3000, "nested deeper than 20"),
        ("a." * 3000 + "a=1", "nested deeper than 20"),
        ("tasks.breast_cancer.margin=1", "less than 0.5"),
    ],
)
def test_a_bad_setting_is_named(capsys: pytest.CaptureFixture[str], setting: str, message: str) -> None:
    key = setting.partition("=")[0]
    status, said = check(capsys, ROOT / "config" / "studies" / "ci.yaml", "--set", setting)
    assert status == 2
    assert message in said
    assert f"--set {key}" in said or f"'--set {key}'" in said


def test_dates_and_words_stay_text_and_a_dotted_key_sets_one_below(tmp_path: Path) -> None:
    path = study_file(tmp_path, changed("title: The default study, cut small", "title: 2020-01-01"))
    settings = ["tasks.breast_cancer.title=no", "tasks.breast_cancer.margin=1e-2"]
    study, _, _ = read_study([path], settings)
    task = study.tasks["breast_cancer"]
    assert (study.title, task.title, task.margin) == ("2020-01-01", "no", 0.01)


@pytest.mark.parametrize("root", ["~nobody_has_this_name/x", "x" * 300])
def test_a_data_root_that_cannot_be_is_named(capsys: pytest.CaptureFixture[str], root: str) -> None:
    heart = ROOT / "config" / "studies" / "heart.yaml"
    status, said = check(capsys, heart, "--set", f"data_root={root}")
    assert (status, "--set data_root" in said) == (2, True)


def test_a_missing_config_file_is_named(tmp_path: Path) -> None:
    done = run(tmp_path, "coordinator", "check", "config/nowhere.yaml")
    assert (done.returncode, "config/nowhere.yaml" in done.stderr) == (2, True)


def test_a_missing_hospital_file_says_where_to_get_it(tmp_path: Path) -> None:
    heart = str(ROOT / "config" / "studies" / "heart.yaml")
    done = run(tmp_path, "coordinator", "check", heart, "--set", f"data_root={tmp_path}")
    assert done.returncode == 2
    assert "processed.cleveland.data" in done.stderr
    assert "config/studies/README.md" in done.stderr
    without = run(tmp_path, "coordinator", "check", heart)
    assert (without.returncode, "DATA_ROOT" in without.stderr) == (2, True)


@pytest.mark.parametrize("config", ["unknown key", "unknown strategy"])
def test_snakemake_stops_with_the_same_message_alone(tmp_path: Path, config: str) -> None:
    text = (BAD | COMBINATIONS)[config][0]
    path = study_file(tmp_path, text)
    checked = run(tmp_path, "coordinator", "check", str(path))
    command = ("snakemake", "-n", "--snakefile", str(ROOT / "Snakefile"), "--configfile", str(path))
    done = run(tmp_path, *command)
    assert done.returncode == 2
    assert checked.stderr.strip() in done.stderr
    assert "Traceback" not in done.stderr
    assert "Building DAG" not in done.stderr


def test_a_setting_on_the_command_line_is_checked_too(tmp_path: Path) -> None:
    command = ("snakemake", "-n", "--snakefile", str(ROOT / "Snakefile"), "--config", "bootstrap=3")
    done = run(tmp_path, *command)
    assert done.returncode == 2
    assert "--set bootstrap" in done.stderr


@pytest.mark.parametrize("study", ["config.yaml", "studies/ci.yaml", "studies/networks.yaml"])
def test_shipped_studies_are_valid(tmp_path: Path, study: str) -> None:
    done = run(tmp_path, "coordinator", "check", str(ROOT / "config" / study))
    assert done.returncode == 0, done.stderr


def test_the_study_on_real_data_is_valid(tmp_path: Path, data_root: Path) -> None:
    heart = str(ROOT / "config" / "studies" / "heart.yaml")
    done = run(tmp_path, "coordinator", "check", heart, "--set", f"data_root={data_root}")
    assert done.returncode == 0, done.stderr


def test_the_readme_lists_exactly_the_keys_there_are() -> None:
    text = README.read_text(encoding="utf-8")
    assert readme(text) == text, "run python -m tests.config_keys"
    listed = {line for line in text.splitlines() if line.startswith("| `")}
    assert listed == {*rows(Study), *rows(Site), *rows(Policy)}


def test_the_schema_file_is_what_the_records_say() -> None:
    assert SCHEMA.read_text(encoding="utf-8") == schema(), "run python -m tests.config_keys"


def test_a_number_of_sites_names_as_many_that_need_no_file(tmp_path: Path) -> None:
    study, sites, _ = read_study([study_file(tmp_path, changed("sites: [north, south]", "sites: 12"))])
    names = [f"site{number:02}" for number in range(1, 13)]
    first, second = study.tasks.values()
    assert list(first.sites) == names
    assert set(sites) == {*names, *second.sites}


@pytest.mark.parametrize("number", ["0", "1000", "2.5", "true"])
def test_a_number_of_sites_that_cannot_be_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], number: str
) -> None:
    path = study_file(tmp_path, changed("sites: [north, south]", f"sites: {number}"))
    status, said = check(capsys, path)
    assert status == 2
    assert "sites' is" in said


def test_a_part_of_a_study_has_its_tasks_alone_and_the_same_runs():
    path = ROOT / "config/studies/paper.yaml"
    whole, _, _ = read_study([path])
    part, sites, _ = read_study([path], ["only=[heart]"])
    assert list(part.tasks) == ["heart"]
    assert set(sites) == {"cleveland", "hungarian", "switzerland", "va"}
    assert part.tasks["heart"] == whole.tasks["heart"]
    assert part.strategies.keys() == whole.strategies.keys() - {"scaffold_skin"}
    assert part.strategies["split_u"].tasks == ("heart",)
    without, _, _ = read_study([path], ["only=[mortality]"])
    assert "split_u" not in without.strategies
    with pytest.raises(ConfigError, match=r"only\.0: unknown task 'haert'; did you mean 'heart'"):
        read_study([path], ["only=[haert]"])
