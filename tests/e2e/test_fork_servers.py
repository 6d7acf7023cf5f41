"""A study's fork servers: all runs share a party's walls and imports, and nothing else changes."""

import json
import os
import signal
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest

from containers import parties
from containers.gang import parse_gang
from containers.meeting import Together
from containers.runtime_folder import sweep
from containers.runtimes import bubblewrap
from tests.conftest import require
from tests.containers.gangs import wait_for
from tests.e2e.gang import read, until_commit
from tests.e2e.tiny_study import TASK, command, environment, launch, prepare_table

ROUNDS, MIDDLE = 60, 15
STATISTICS = "results/agree/statistics.json"
STRATEGIES = ("split", "fedavg")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """The ci study's table, what each of its gangs is, and the weights of runs that share nothing."""
    folder = tmp_path_factory.mktemp("shared")
    plan = prepare_table(folder, options=[f"--set=tasks.{TASK}.training.rounds={ROUNDS}"])
    specs = {"agree": plan["tasks"][TASK]["agree"]["0"]["spec"]}
    specs |= {name: plan["runs"][f"{TASK}/{name}/0"]["spec"] for name in STRATEGIES}
    (folder / "gangs.json").write_text(json.dumps([gang(spec, name) for name, spec in specs.items()]))
    launch(folder, specs["agree"], "agree", statistics=None)
    for name in STRATEGIES:
        launch(folder, specs[name], f"alone/{name}", statistics=STATISTICS)
    return folder, specs


def gang(spec, name):
    statistics = None if name == "agree" else STATISTICS
    return {"spec": spec, "statistics": statistics, "state": f"state/{name}", "results": "-"}


@contextmanager
def served(folder, runtime):
    """Start a study's servers, and see them leave."""
    words = command("containers", "fork-servers", "--gangs", "gangs.json", "--runtime", runtime)
    process = subprocess.Popen(
        words, cwd=folder, env=environment(folder), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    ask = Path(process.stdout.readline().strip())
    try:
        yield process, ask
    finally:
        process.communicate(timeout=60)
    assert process.returncode in (0, -signal.SIGKILL)
    assert process.returncode or not ask.parent.parent.exists()
    wait_for(lambda: not servers(ask))


def servers(ask):
    """List the servers' own processes."""
    found = (path for path in Path("/proc").glob("[0-9]*/cmdline") if str(ask.parent).encode() in read(path))
    return [int(path.parent.name) for path in found if b"-m\0sites\0fork-server" in read(path)]


def started(folder, specs, name, ask, runtime):
    statistics = ["--statistics", STATISTICS] if name != "agree" else []
    where = ["--state", f"state/{name}", "--results", f"results/{name}", "--runtime", runtime]
    words = command("containers", "launch", "--spec", specs[name], *statistics, *where)
    around = environment(folder) | {"SUTURE_FORK_SERVERS": str(ask)}
    return subprocess.Popen(words, cwd=folder, env=around, stderr=subprocess.PIPE, text=True)


def ended_well(launcher):
    said = launcher.communicate(timeout=120)[1]
    assert launcher.returncode == 0, said
    return said


def weights(folder, name):
    return (folder / "results" / name / "weights.sha256").read_text()


def same_as_alone(folder, *names):
    return all(weights(folder, name) == weights(folder, f"alone/{name}") for name in names)


def in_the_middle(study, name, ask):
    """Start a run without walls, and wait until it has kept some commits."""
    folder, specs = study
    launcher = started(folder, specs, name, ask, "host")
    until_commit(launcher, folder / "state" / name, MIDDLE)
    return launcher


@pytest.mark.parametrize(("runtime", "expected"), [("host", 2), ("bubblewrap", 3)])
def test_an_agreement_and_two_runs_at_once_share_a_server_for_each_party(study, runtime, expected):
    if runtime == "bubblewrap" and (missing := bubblewrap.problem()):
        require("bwrap", missing)
    folder, specs = study
    statistics = (folder / STATISTICS).read_bytes()
    with served(folder, runtime) as (_, ask):
        ended_well(started(folder, specs, "agree", ask, runtime))
        for launcher in [started(folder, specs, name, ask, runtime) for name in STRATEGIES]:
            ended_well(launcher)
        assert len(list(ask.parent.glob("link*"))) == expected
        assert not [*ask.parent.rglob("*.secret"), *ask.parent.rglob("*.ipc")]  # of runs that have ended
    assert (folder / STATISTICS).read_bytes() == statistics
    assert same_as_alone(folder, *STRATEGIES)


def test_sites_whose_server_is_killed_come_back_from_another_with_the_same_weights(study):
    folder, _ = study
    with served(folder, "host") as (_, ask):
        launcher = in_the_middle(study, "split", ask)
        for pid in servers(ask):
            os.kill(pid, signal.SIGKILL)
        said = ended_well(launcher)
    assert "was ended by SIGKILL; restart 1 of at most 3" in said
    assert same_as_alone(folder, "split")


def test_a_run_outlives_what_started_its_servers(study):
    folder, specs = study
    with served(folder, "host") as (process, ask):
        launcher = in_the_middle(study, "fedavg", ask)
        process.kill()
        ended_well(launcher)
    assert same_as_alone(folder, "fedavg")
    launcher = started(folder, specs, "fedavg", ask, "host")  # nobody answers there any more
    ended_well(launcher)
    assert same_as_alone(folder, "fedavg")


def test_a_site_killed_when_the_servers_are_gone_is_started_by_its_launcher(study):
    folder, _ = study
    with served(folder, "host") as (process, ask):
        launcher = in_the_middle(study, "split", ask)
        process.kill()
        process.wait()
        sweep(ask.parent.parent.parent, older_than_seconds=-1.0)  # as another launcher would, later
        for pid in servers(ask):
            os.kill(pid, signal.SIGKILL)
        said = ended_well(launcher)
    assert "was ended by SIGKILL; restart 1 of at most 3" in said
    assert same_as_alone(folder, "split")


def test_a_site_that_stops_its_server_is_ended_all_the_same(study):
    folder, _ = study
    with served(folder, "host") as (_, ask):
        launcher = in_the_middle(study, "split", ask)
        for pid in servers(ask):
            os.kill(pid, signal.SIGSTOP)
        for party in ("north", "south"):  # deaf to its lifeline, and to SIGTERM
            os.kill(json.loads((folder / "state/split" / party / "lease").read_text())["pid"], signal.SIGSTOP)
        launcher.terminate()
        launcher.communicate(timeout=60)
    assert launcher.returncode == 128 + signal.SIGTERM


def test_walls_stand_before_a_site_of_another_task_is_prepared(study, monkeypatch, tmp_path):
    folder, specs = study
    monkeypatch.chdir(tmp_path)
    spec = json.loads((folder / specs["split"]).read_text())
    Path("spec.json").write_text(
        json.dumps(spec | {"prepared": {s: f"to come/{s}" for s in spec["prepared"]}})
    )
    gang = parse_gang(Path("spec.json"), None, Path("state"), Path("-"))
    binds = parties.forking([gang], "north", tmp_path / "l/link", Together(tmp_path / "place")).binds
    assert tmp_path / "to come/north" in [bind.source for bind in binds]
    assert Path("to come/north").is_dir()
    assert not Path("to come/south").exists()


def test_a_killed_launcher_s_parties_leave_and_the_servers_serve_the_next(study):
    folder, specs = study
    with served(folder, "host") as (_, ask):
        launcher = in_the_middle(study, "split", ask)
        launcher.kill()
        launcher.communicate()
        ended_well(started(folder, specs, "split", ask, "host"))  # waits for the first one's parties
        assert len(list(ask.parent.glob("link*"))) == 2
        wait_for(lambda: not list(ask.parent.rglob("*.secret")))  # nor do its keys stay
    assert same_as_alone(folder, "split")


def test_a_launcher_in_other_walls_or_of_another_state_shares_nothing(study):
    folder, specs = study
    with served(folder, "host") as (_, ask):
        given = {"SUTURE_FORK_SERVERS": str(ask)}
        words = command(
            "containers", "launch", "--spec", specs["agree"], "--state", "elsewhere", "--results", "o"
        )
        subprocess.run(words, cwd=folder, env=environment(folder) | given, check=True, capture_output=True)
        assert not list(ask.parent.glob("link*"))


def test_a_party_s_walls_hold_what_its_runs_show_it_and_nothing_of_another(study, monkeypatch):
    folder, specs = study
    monkeypatch.chdir(folder)
    gangs = [
        parse_gang(
            Path(specs[name]), Path(STATISTICS) if name != "agree" else None, Path("state", name), Path("-")
        )
        for name in specs
    ]
    together = Together(folder / "place")
    shown = {
        party: {
            bind.source: bind.mode
            for bind in parties.forking(gangs, party, folder / "l/link", together).binds
        }
        for party in ("coordinator", "north", "south")
    }
    common = {folder / "l": "ro", (folder / STATISTICS).parent: "ro"}
    common |= {folder / spec: "ro" for spec in specs.values()}
    for party, found in shown.items():
        own = {folder / "state" / name / party: "rw" for name in specs} | {together.keys_of(party): "ro"}
        own |= {together.sockets: "rw" if party == "coordinator" else "ro"}
        if party != "coordinator":
            own[folder / gangs[0].prepared[party]] = "ro"
        assert found == common | own
