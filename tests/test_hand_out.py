"""What places are sent of a study whose files lie at the hospitals, and that it is enough for them."""

import json
from pathlib import Path

import pytest

from coordinator.__main__ import COMMANDS
from coordinator.command_line import main
from sites.__main__ import COMMANDS as AT_SITES

STUDY = """\
name: far
sites:
  north: {name: north}
  south: {name: south, files: {table: nowhere.csv}}
tasks:
  death:
    data: {source: table, columns: {patient: patient, label: died, numeric: [age]}}
    sites: [north, south]
    model: {name: mlp, hidden: [4]}
    cut: layer1
strategies:
  split: {}
reference: split
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SUTURE_DATA_ROOT", raising=False)
    Path("study.yaml").write_text(STUDY, encoding="utf-8")
    return tmp_path


def check(*more: str) -> int:
    return main("coordinator", COMMANDS, ["check", "study.yaml", *more])


def test_each_place_gets_its_own_specs_and_no_file_of_a_hospital_is_looked_for(place: Path) -> None:
    assert check("--plan", "plan.json") == 2
    assert check("--hand-out", "sent") == 0
    found = {path.relative_to("sent").as_posix() for path in Path("sent").rglob("*.json")}
    both = {f"{name}/{what}-death-{rest}.json" for name in ("coordinator", "north", "south")
            for what, rest in (("agreement", "0"), ("run", "split-0"))}  # fmt: skip
    assert found == both | {f"{site}/preparation-death.json" for site in ("north", "south")}
    specs = [
        json.loads(Path("sent", site, "preparation-death.json").read_text()) for site in ("north", "south")
    ]
    assert [spec["site"]["name"] for spec in specs] == ["north", "south"]


def test_records_that_are_pooled_make_no_run_of_a_place(place: Path) -> None:
    assert check("--set=strategies.centralized={}", "--set=allow_pooling=true", "--hand-out", "sent") == 0
    assert not list(Path("sent").rglob("*centralized*"))


def test_a_hospital_prepares_where_its_runs_look(place: Path) -> None:
    assert check("--hand-out", "sent") == 0
    rows = "".join(f"p{i},{i % 2},{40 + i}\n" for i in range(40))
    Path("visits.csv").write_text(f"patient,died,age\n{rows}", encoding="utf-8")
    words = ["prepare", "--spec", "sent/north/preparation-death.json", "--input", "visits.csv"]
    assert main("sites", AT_SITES, words) == 0
    run = json.loads(Path("sent/north/run-death-split-0.json").read_text())
    assert Path(run["prepared"]["north"], "records.parquet").is_file()


def test_dealt_records_are_not_prepared_without_a_folder(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("all.csv").write_text("patient,died,age\n", encoding="utf-8")
    Path("study.yaml").write_text(STUDY.replace("table, col", "table, path: all.csv, col"), encoding="utf-8")
    assert check("--set=data_root=.", "--hand-out", "sent") == 0
    words = ["prepare", "--spec", "sent/north/preparation-death.json", "--input", "all.csv"]
    assert main("sites", AT_SITES, words) == 2
    assert "--out is missing" in capsys.readouterr().err
