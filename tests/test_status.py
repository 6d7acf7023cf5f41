"""What a run's state folder says of it: true at this moment, and no longer than its process lives."""

import json
import subprocess
import sys
import time

import pytest

from coordinator.__main__ import COMMANDS
from coordinator.command_line import main
from coordinator.lease import is_held, take
from coordinator.outcome import recorded, write_json

TOLD = {
    "run": "s/t/split/0", "phase": "waiting", "connected": ["north"], "waiting_for": ["south"], "rounds": 9,
    "trials": 2, "trial": 1, "round": 4, "commit": 13, "generation": 2, "written": 0.0,
}  # fmt: skip
HOLDER = "import sys, pathlib, coordinator.lease as l; l.take(pathlib.Path(sys.argv[1])); print(1); input()"


@pytest.fixture
def coordinator(tmp_path):
    """The state folder of a coordinator whose process holds it; ended by the test or after it."""
    folder = tmp_path / "state" / "s" / "t" / "split" / "0" / "coordinator"
    folder.mkdir(parents=True)
    write_json(folder / "status.json", {**TOLD, "written": time.time()})
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout.readline()
    yield folder, holder
    holder.kill()
    holder.communicate()


def status(folder, capsys):
    assert main("coordinator", COMMANDS, ["status", str(folder), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_running_run_says_who_is_there_and_who_is_waited_for(coordinator, tmp_path, capsys):
    found = status(tmp_path / "state", capsys)
    assert (found["running"], found["phase"], found["connected"]) == (True, "waiting", ["north"])
    assert main("coordinator", COMMANDS, ["status", str(tmp_path)]) == 0
    assert "south" in capsys.readouterr().out


def test_a_killed_run_is_not_said_to_run(coordinator, tmp_path, capsys):
    folder, holder = coordinator
    holder.kill()
    holder.wait()
    found = status(tmp_path, capsys)
    assert (found["running"], found["phase"], found["commit"]) == (
        False,
        "not running: its process was killed",
        13,
    )
    assert found["connected"] == found["waiting_for"] == []
    write_json(folder / "exit.json", {"cause": "ok"})
    assert status(tmp_path, capsys)["phase"] == "done"


def test_two_processes_do_not_share_a_state_folder(coordinator, capsys):
    folder, holder = coordinator
    assert is_held(folder)
    assert recorded("coordinator", folder, lambda: None) == 2
    said = capsys.readouterr().err
    assert f'"pid": {holder.pid}' in said
    assert "end it, then run again" in said
    assert not (folder / "exit.json").exists()
    holder.kill()
    holder.wait()
    assert not is_held(folder)
    take(folder)


def test_no_run_or_no_status_is_a_sentence(tmp_path, capsys):
    assert main("coordinator", COMMANDS, ["status", str(tmp_path)]) == 2
    assert "no status.json below it" in capsys.readouterr().err
    (tmp_path / "status.json").write_text("{}")
    assert main("coordinator", COMMANDS, ["status", str(tmp_path)]) == 2
    assert "not a status of this version" in capsys.readouterr().err
