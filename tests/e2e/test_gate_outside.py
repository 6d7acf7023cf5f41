"""A real run whose gates stand outside, by a launcher: who is killed comes back, and no bit changes."""

import pytest

from tests.containers.gangs import left
from tests.e2e.gang import begin, kill, until_commit
from tests.e2e.test_lost_parties import MIDDLE, ROUNDS, STATISTICS, hash_of, interruptions
from tests.e2e.tiny_study import ROOT, TASK, launch, prepare_table, run_command

MORE = (f"tasks.{TASK}.training.rounds={ROUNDS}", "on_loss.minutes=2")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """The ci study's table, agreed on through gates outside; what split learning ends with inside."""
    folder = tmp_path_factory.mktemp("gates")
    inside = prepare_table(folder, options=[f"--set={option}" for option in MORE])
    more = [f"--set={option}" for option in (*MORE, "gate=outside")]
    run_command(folder, "coordinator", "check", ROOT / "config/studies/ci.yaml", *more, "--plan", "plan.json")
    launch(folder, inside["tasks"][TASK]["agree"]["0"]["spec"], "agree", statistics=None)
    launch(folder, inside["runs"][f"{TASK}/split/0"]["spec"], "inside", statistics=STATISTICS)
    return folder


def test_a_killed_gate_and_a_killed_training_come_back(study, tmp_path):
    launcher = begin(study, tmp_path, f"{TASK}/split/0", STATISTICS)
    for number, victim in ((MIDDLE, "north-gate"), (2 * MIDDLE, "south")):
        until_commit(launcher, tmp_path / "state", number)
        kill(tmp_path, victim)
    said = launcher.communicate(timeout=120)[1]
    assert launcher.returncode == 0, said
    for victim in ("north-gate", "south"):
        assert f"{victim} was ended by SIGKILL; restart 1 of at most 3" in said
    assert "gate: outside" in said
    assert hash_of(tmp_path / "results") == hash_of(study / "results" / "inside")
    assert len(interruptions(tmp_path)) == 2
    for site in ("north", "south"):
        ledger = tmp_path / "state" / f"{site}-gate" / "ledger.jsonl"
        files = {"costs": "costs.json", "heads": "ledgers.json"}
        given = [word for name, file in files.items() for word in (f"--{name}", tmp_path / "results" / file)]
        run_command(study, "sites", "ledger", "verify", ledger, "--site", site, *given)
        assert not (tmp_path / "state" / site / "ledger.jsonl").exists()
    assert not left(tmp_path)
