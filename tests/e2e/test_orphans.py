"""Nobody stays, whoever dies first: the real programs, in the middle of a real run."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.containers.gangs import left, nobody_left, wait_for
from tests.e2e.checkout import copy_checkout, snakemake
from tests.e2e.gang import OUTSIDE, begin, in_the_middle, kill, read

STUDY = "config/studies/ci.yaml"
RUN, PARTIES = "breast_cancer/split/0", ("coordinator", "north", "south")
AGREED = "results/ci/statistics/breast_cancer/0/statistics.json"
ECHOES = {"lifeline", "peer_lost"}  # asked to leave, one may see another's leaving first


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A study up to its agreement, whose training runs will not end in a test's time."""
    folder = copy_checkout(tmp_path_factory.mktemp("study"))
    text = (folder / STUDY).read_text(encoding="utf-8")
    assert "rounds: 3" in text
    endless = text.replace("rounds: 3", "rounds: 20000") + "\non_loss: {policy: abort}\n"
    (folder / STUDY).write_text(endless, encoding="utf-8")
    snakemake(folder, "--configfile", STUDY, "--", AGREED)
    check = ["-m", "coordinator", "check", STUDY, "--plan", "plan.json"]
    subprocess.run([sys.executable, *check], cwd=folder, env=OUTSIDE, check=True, capture_output=True)
    return folder


def causes(state, parties=PARTIES):
    return {json.loads((state / party / "exit.json").read_text())["cause"] for party in parties}


@pytest.mark.parametrize("victim", ["north", "coordinator"])
def test_a_killed_party_stops_the_run_and_is_named(study, tmp_path, victim):
    launcher = begin(study, tmp_path, RUN, AGREED)
    in_the_middle(launcher, tmp_path / "run.log")
    kill(tmp_path, victim)
    said = launcher.communicate(timeout=60)[1]
    assert launcher.returncode == 137
    assert f"party '{victim}' ended first (crash, exit status 137): ended by SIGKILL" in said
    assert causes(tmp_path / "state", set(PARTIES) - {victim}) <= ECHOES
    assert not (tmp_path / "results").exists()
    assert not left(tmp_path)


def test_a_killed_launcher_leaves_nobody(study, tmp_path):
    launcher = begin(study, tmp_path, RUN, AGREED)
    in_the_middle(launcher, tmp_path / "run.log")
    launcher.kill()
    launcher.communicate()
    nobody_left(tmp_path)
    assert causes(tmp_path / "state") <= ECHOES


def test_a_launcher_killed_while_its_parties_start_leaves_nobody(study, tmp_path):
    launcher = begin(study, tmp_path, RUN, AGREED)
    wait_for(lambda: launcher.poll() is not None or len(left(tmp_path)) == 1 + len(PARTIES))
    assert launcher.poll() is None
    launcher.kill()
    launcher.communicate()
    nobody_left(tmp_path)


def test_a_killed_snakemake_leaves_nobody_and_its_parties_leave_in_order(study, tmp_path):
    target, state = f"results/ci/runs/{RUN}/weights.sha256", study / "state" / "ci" / RUN
    words = [sys.executable, "-m", "snakemake", "--configfile", STUDY, "--cores", "2", "--", target]
    with (tmp_path / "said").open("w") as said:
        job = subprocess.Popen(words, cwd=study, env=OUTSIDE, stdout=said, stderr=said)
    wait_for(lambda: job.poll() is not None or all((state / p / "log-1.txt").exists() for p in PARTIES), 120)
    assert job.poll() is None, (tmp_path / "said").read_text()
    # a log is there before its party: beside the parties, Snakemake, the launcher and the fork server
    wait_for(lambda: len(here(study)) > len(PARTIES) + 2)
    job.kill()
    job.wait()
    wait_for(lambda: not here(study))
    assert causes(state) <= ECHOES


def here(folder):
    """List the processes that work in a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if (path / "cwd").readlink() == folder and read(path / "cmdline"):
                found.append(path.name)
        except OSError:
            continue
    return found
