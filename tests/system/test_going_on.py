"""The launcher's run goes on without a killed site, and its record repeats it to the same weights."""

import json

from tests.containers.gangs import left
from tests.e2e.gang import begin, kill, until_commit
from tests.e2e.tiny_study import TASK, launch, prepare_table

STATISTICS = "results/agree/statistics.json"
OPTIONS = (f"--set=tasks.{TASK}.training.rounds=30",)
GOES_ON = "--set=on_loss={policy: continue, minutes: 0.05, at_least: 1, restarts: 0}"


def test_a_run_goes_on_without_a_killed_site_and_can_be_repeated(tmp_path):
    plan = prepare_table(tmp_path, options=(*OPTIONS, GOES_ON))
    launch(tmp_path, plan["tasks"][TASK]["agree"]["0"]["spec"], "agree", statistics=None)
    place = tmp_path / "place"
    launcher = begin(tmp_path, place, f"{TASK}/split/0", STATISTICS)
    until_commit(launcher, place / "state", 10)
    kill(place, "north")
    said = launcher.communicate(timeout=180)[1]
    assert launcher.returncode == 0, said
    assert "north ended (ended by SIGKILL); going on without" in said
    results = place / "results"
    rows = [json.loads(row) for row in (results / "participation.jsonl").read_text().splitlines()]
    assert rows[-1]["sites"] == ["south"]
    assert [each["sites"] for row in rows for each in row.get("away", ())] == [["north"]]
    assert not (results / "predictions" / "north.parquet").exists()
    assert "north" not in json.loads((results / "costs.json").read_text())
    assert not left(place)
    again = {
        "replay": f"{{preset: split, tasks: [{TASK}], participation: {results / 'participation.jsonl'}}}"
    }
    plan = prepare_table(tmp_path, "replay", options=OPTIONS, settings=again)
    launch(tmp_path, plan["runs"][f"{TASK}/replay/0"]["spec"], "replay", statistics=STATISTICS)
    repeated = (tmp_path / "results" / "replay" / "weights.sha256").read_text()
    assert repeated == (results / "weights.sha256").read_text()
