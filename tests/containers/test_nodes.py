"""A gang over several nodes: a launcher on each, as srun starts them, here beside each other."""

import json
import os
import signal
import subprocess

import pytest

from containers.allocation import Node, address, dealt, node, patience
from containers.errors import ConfigError
from containers.gang import read_gang
from containers.lifetime import hold, share
from tests.containers.gangs import (
    FOREVER,
    SITES,
    all_at_work,
    command,
    end_of,
    environment,
    heed_signals,
    left,
    nobody_left,
    seen_by,
    wait_for,
    write_spec,
)

STEP = {"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0", "SLURM_LAUNCH_NODE_IPADDR": "127.0.0.1"}


def step(rank, nodes=2, **more):
    """Give what srun tells one task of a job step."""
    return {**STEP, "SLURM_PROCID": str(rank), "SLURM_STEP_NUM_TASKS": str(nodes), **more}


def start(folder, does, nodes=2, **more):
    """Start a launcher for each node, the first one last: the others wait for it."""
    words = command(folder, does)
    return [
        subprocess.Popen(
            words, env=environment(folder) | step(rank, nodes, **more), stderr=subprocess.PIPE, text=True,
            preexec_fn=heed_signals,
        )
        for rank in reversed(range(nodes))
    ][::-1]  # fmt: skip


def ended(launchers):
    """Wait for all; gives each one's exit status and what it said."""
    said = [launcher.communicate(timeout=120)[1] for launcher in launchers]
    return [launcher.returncode for launcher in launchers], said


def launched(folder, does, nodes=2):
    return ended(start(folder, does, nodes))


def test_each_node_starts_its_own_parties_and_the_first_hands_over_all(folder):
    does = {
        "coordinator": {"out": {"weights.sha256": "w"}},
        "north": {"out": {"predictions/north.parquet": "n"}, "seconds": 1.5},
        "south": {"out": {"predictions/south.parquet": "s"}},
    }
    statuses, said = launched(folder, does)
    assert statuses == [0, 0], said
    assert "starting coordinator, south on node 1 of 2" in said[0]
    assert "starting north on node 2 of 2" in said[1]
    found = {str(p.relative_to(folder / "results")) for p in (folder / "results").rglob("*") if p.is_file()}
    assert found == {
        "weights.sha256",
        "predictions/north.parquet",
        "predictions/south.parquet",
        "isolation.json",
    }
    assert "tcp://127.0.0.1:0" in seen_by(folder, "coordinator")["argv"]
    for party in ("coordinator", *SITES):  # everybody's public keys, and no secret of another node's
        seen = seen_by(folder, party)
        assert set(seen["manifest"]) == {"coordinator", *SITES}
        assert seen["environment"]["SUTURE_HEARS"] == "lifeline"
    assert "north.secret" not in seen_by(folder, "south")["meeting"]["files"]
    assert not list((folder / "run").iterdir())
    assert not left(folder)


def test_a_node_may_be_left_without_a_party(folder):
    statuses, said = launched(folder, {}, nodes=4)
    assert statuses == [0] * 4, said
    assert "no party is left for this launcher on node 4 of 4" in said[3]


def test_a_party_that_fails_on_another_node_is_named_by_the_first(folder):
    failing = {"code": 3, "cause": "data", "message": "row 7: no number", "seconds": 0.5}
    statuses, said = launched(folder, {"coordinator": FOREVER, "south": FOREVER, "north": failing})
    assert statuses == [3, 3]
    assert "party 'north' ended first (data, exit status 3): row 7: no number" in said[0]
    assert "| north is here" in said[0]
    assert end_of(folder, "south")["cause"] == "lifeline"
    assert not (folder / "results").exists()
    assert not left(folder)


def test_a_failure_on_the_first_node_ends_the_parties_of_the_others(folder):
    failing = {"code": 4, "cause": "crash", "message": "no memory", "seconds": 1}
    statuses, said = launched(folder, {"coordinator": failing, "south": FOREVER, "north": FOREVER})
    assert statuses == [4, 6]
    assert "party 'coordinator' ended first" in said[0]
    assert "a party on another node has failed" in said[1]
    assert {end_of(folder, party)["cause"] for party in SITES} == {"lifeline"}


def test_a_job_that_is_told_to_stop_stays_for_the_next_commit(folder):
    """As at a time limit: Slurm signals launchers and parties alike."""
    launchers = start(folder, {**dict.fromkeys(SITES, FOREVER), "coordinator": {**FOREVER, "commits": 3}})
    commits = folder / "state" / "coordinator" / "commits"
    wait_for(lambda: all_at_work(folder) and commits.is_dir() and any(commits.iterdir()))
    before = set(commits.iterdir())
    for launcher in launchers:
        launcher.send_signal(signal.SIGTERM)
    statuses, said = ended(launchers)
    assert statuses == [143, 143]
    assert "stopped by SIGTERM" in said[0]
    assert len(set(commits.iterdir()) - before) == 1
    assert {end_of(folder, party)["cause"] for party in ("coordinator", *SITES)} == {"lifeline"}
    nobody_left(folder)


def test_launchers_of_an_earlier_start_are_not_taken_for_these(folder):
    """What an earlier attempt left in the folder says nothing about this one."""
    assert launched(folder, {"north": {"code": 3, "cause": "data"}})[0] == [3, 3]
    statuses, said = ended(start(folder, {}, SLURM_JOB_ID="8"))
    assert statuses == [0, 0], said
    assert json.loads((folder / "state" / "gathering" / "open.json").read_text())["attempt"] == 2


def test_nobody_else_takes_a_folder_that_the_launchers_of_a_gang_share(folder):
    first = hold(folder)
    share(first, folder)
    second = hold(folder, shared=True)
    for held in (first, second):
        with pytest.raises(ConfigError, match="another launch works in this folder"):
            hold(folder, seconds=0)
        os.close(held)
    os.close(hold(folder, seconds=0))


def test_a_launcher_finds_where_it_stands():
    assert node({"PATH": "/bin", "SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"}) == Node()
    assert node(step(2, 3)) == Node(2, 3, "7.0", "127.0.0.1")
    with pytest.raises(ConfigError, match="SLURM_PROCID"):
        node({name: value for name, value in step(1).items() if name != "SLURM_PROCID"})


def test_another_network_of_the_nodes_can_be_named():
    assert (
        address({**STEP, "SLURM_LAUNCH_NODE_IPADDR": "192.0.2.1", "SUTURE_FABRIC": "127.0.0.9"})
        == "127.0.0.1"
    )
    assert address({**STEP, "SUTURE_FABRIC": "::1"}) == "[::1]"
    with pytest.raises(ConfigError, match="SUTURE_FABRIC"):
        address({**STEP, "SUTURE_FABRIC": "nowhere.invalid"})


@pytest.mark.parametrize("nodes", [1, 2, 3, 5])
def test_parties_are_dealt_to_nodes_without_rest(nodes):
    parties = ("coordinator", "a", "b", "c")
    shares = [dealt(parties, Node(rank, nodes)) for rank in range(nodes)]
    assert sorted(party for share in shares for party in share) == sorted(parties)
    assert shares[0][0] == "coordinator"
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize(("left_seconds", "waits"), [(None, 20), (100, 80), (30, 20), (3600, 20), (-5, 20)])
def test_a_commit_is_waited_for_until_shortly_before_the_time_limit(left_seconds, waits):
    limit = {} if left_seconds is None else {"SLURM_JOB_END_TIME": str(1000 + left_seconds)}
    assert patience(limit, now=1000.0) == waits


def test_a_sites_gate_stays_on_its_sites_node(folder):
    write_spec(folder, {}, gate="outside")
    gang = read_gang(folder / "spec.json", None, folder / "state", folder / "results")
    assert [gang.of(dealt(gang.keyed, Node(rank, 2))) for rank in range(2)] == [
        ("coordinator", "south-gate", "south"),
        ("north-gate", "north"),
    ]
