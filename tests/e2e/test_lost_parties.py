"""No run is lost: whoever is killed in the middle, it ends with the weights of an undisturbed one."""

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress

import pytest

from containers.runtimes import bubblewrap
from tests.conftest import require
from tests.containers.gangs import left, nobody_left, wait_for
from tests.e2e.gang import OUTSIDE, begin, kill, pid_of, until_commit
from tests.e2e.tiny_study import ROOT, TASK, launch, prepare_table

ROUNDS, MIDDLE = 60, 15
STATISTICS = "results/agree/statistics.json"
STRATEGIES = ("split", "fedavg")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """The ci study's table, agreed on, with more rounds; and each strategy's undisturbed hash."""
    folder = tmp_path_factory.mktemp("lost")
    more = [f"--set=tasks.{TASK}.training.rounds={ROUNDS}", "--set=on_loss.minutes=2"]
    plan = prepare_table(folder, options=more)
    launch(folder, plan["tasks"][TASK]["agree"]["0"]["spec"], "agree", statistics=None)
    for name in STRATEGIES:
        launch(folder, plan["runs"][f"{TASK}/{name}/0"]["spec"], name, statistics=STATISTICS)
    return folder


def hash_of(results):
    return (results / "weights.sha256").read_text()


def started(study, place, strategy, *options):
    launcher = begin(study, place, f"{TASK}/{strategy}/0", STATISTICS, *options)
    until_commit(launcher, place / "state", MIDDLE)
    return launcher


def interruptions(place):
    rows = (place / "results" / "interruptions.jsonl").read_text().splitlines()
    return [json.loads(row) for row in rows]


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(
    ("victim", "options"), [("north", ()), ("coordinator", ()), ("coordinator", ("--tcp",))]
)
def test_a_killed_party_comes_back_and_the_weights_are_the_same(study, tmp_path, strategy, victim, options):
    launcher = started(study, tmp_path, strategy, *options)
    kill(tmp_path, victim)
    said = launcher.communicate(timeout=120)[1]
    assert launcher.returncode == 0, said
    assert f"{victim} was ended by SIGKILL; restart 1 of at most 3" in said
    assert hash_of(tmp_path / "results") == hash_of(study / "results" / strategy)
    (row,) = interruptions(tmp_path)
    assert row["commit"] >= MIDDLE - 1
    assert victim in row["back"] or victim == "coordinator"
    assert not (tmp_path / "state" / "north" / "commits").exists()
    assert not left(tmp_path)


def test_a_killed_launcher_s_run_goes_on_when_it_is_launched_again(study, tmp_path):
    launcher = started(study, tmp_path, "split")
    launcher.kill()
    launcher.communicate()
    nobody_left(tmp_path)
    again = begin(study, tmp_path, f"{TASK}/split/0", STATISTICS)
    said = again.communicate(timeout=120)[1]
    assert again.returncode == 0, said
    assert "go on from commit" in said
    assert hash_of(tmp_path / "results") == hash_of(study / "results" / "split")
    verify = [
        sys.executable,
        "-m",
        "sites",
        "ledger",
        "verify",
        tmp_path / "state" / "north" / "ledger.jsonl",
    ]
    costs = ["--costs", tmp_path / "results" / "costs.json", "--site", "north"]
    done = subprocess.run([*verify, *costs], cwd=ROOT, env=OUTSIDE, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_party_killed_too_often_ends_the_run(study, tmp_path):
    launcher = started(study, tmp_path, "split")
    past = set()
    for _ in range(4):  # the first life, and three restarts
        past.add(kill(tmp_path, "north", past))
    said = launcher.communicate(timeout=120)[1]
    assert launcher.returncode == 137
    assert "restart 3 of at most 3" in said
    assert "party 'north' ended first (crash, exit status 137): ended by SIGKILL" in said
    assert not (tmp_path / "results").exists()
    assert not left(tmp_path)


def test_a_full_disk_ends_the_run_with_a_sentence(study, tmp_path):
    if bubblewrap.problem():
        require("bwrap", bubblewrap.problem())
    full = tmp_path / "state" / "north"
    full.mkdir(parents=True)
    small = ["bwrap", "--dev-bind", "/", "/", "--size", "60000", "--tmpfs", str(full), "--"]
    launcher = begin(study, tmp_path, f"{TASK}/split/0", STATISTICS, within=small)
    said = launcher.communicate(timeout=120)[1]
    assert launcher.returncode == 1, said
    assert "party 'north' ended first (disk, exit status 1)" in said
    assert "No space left on device" in said
    assert "Traceback" not in said
    assert not (tmp_path / "results").exists()


def test_a_site_killed_after_its_last_word_still_hears_the_end(study, tmp_path):
    launcher = started(study, tmp_path, "split")
    done = tmp_path / "state" / "coordinator" / "out" / "weights.sha256"
    wait_for(lambda: launcher.poll() is not None or done.exists(), 120)
    if victim := pid_of(tmp_path, "south"):
        with suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
    said = launcher.communicate(timeout=120)[1]
    assert launcher.returncode == 0, said
    assert hash_of(tmp_path / "results") == hash_of(study / "results" / "split")
    assert not left(tmp_path)
