"""One gang from its keys to its results, with real processes in the parties' place."""

import json
import stat

from tests.containers.gangs import FOREVER, SITES, end_of, launched, left, seen_by


def test_a_good_gang_hands_over_its_results_and_leaves_nothing(folder):
    does = {
        "coordinator": {"out": {"weights.sha256": "w", "model/coordinator.safetensors": "c"}},
        "north": {"out": {"predictions/north.parquet": "n"}},
    }
    stale = folder / "results" / "old" / "stale.csv"
    stale.parent.mkdir(parents=True)
    stale.write_text("of an earlier run")
    done = launched(folder, does)
    assert done.returncode == 0, done.stderr
    found = {str(p.relative_to(folder / "results")) for p in (folder / "results").rglob("*") if p.is_file()}
    assert found == {
        "weights.sha256",
        "model/coordinator.safetensors",
        "predictions/north.parquet",
        "isolation.json",
    }
    assert json.loads((folder / "results" / "isolation.json").read_text()) == {
        "runtime": "host", "isolation": "none: plain processes on the host",
    }  # fmt: skip
    assert "isolation: none" in done.stderr
    assert [end_of(folder, party)["cause"] for party in ("coordinator", *SITES)] == ["ok"] * 3
    assert not list((folder / "run").iterdir())
    assert not left(folder)


def test_each_party_is_told_its_own_and_nothing_of_the_shell(folder):
    assert launched(folder, {}).returncode == 0
    north, coordinator = seen_by(folder, "north"), seen_by(folder, "coordinator")
    assert north["keys"]
    words = " ".join(north["argv"])
    assert "--site north" in words
    assert "north.secret" in words
    assert "south" not in words
    assert f"--endpoint ipc://{folder}/run/suture-" in words
    assert "--site" not in coordinator["argv"]
    assert north["environment"]["OMP_NUM_THREADS"] == north["environment"]["MKL_NUM_THREADS"] == "1"
    assert "PATH" in north["environment"]
    assert "TOKEN" not in north["environment"]
    assert stat.S_IMODE((folder / "state" / "north").stat().st_mode) == 0o700


def test_threads_come_from_the_spec(folder):
    assert launched(folder, {}, threads=3).returncode == 0
    assert seen_by(folder, "south")["environment"]["OPENBLAS_NUM_THREADS"] == "3"


def test_gpus_are_dealt_to_the_parties_that_compute_there(folder, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    assert launched(folder, {}, devices={"north": "cuda", "south": "cuda"}).returncode == 0
    given = {party: seen_by(folder, party)["environment"]["CUDA_VISIBLE_DEVICES"] for party in SITES}
    assert given == {"north": "2", "south": "5"}
    assert seen_by(folder, "coordinator")["environment"]["CUDA_VISIBLE_DEVICES"] == "2,5"


def test_a_party_that_fails_ends_the_gang_and_is_named(folder):
    failing = {"code": 3, "cause": "data", "message": "row 7: 'abc' is no number", "seconds": 0.5}
    done = launched(folder, {"coordinator": FOREVER, "north": FOREVER, "south": failing})
    assert done.returncode == 3
    assert "party 'south' ended first (data, exit status 3): row 7: 'abc' is no number" in done.stderr
    assert "data steward" in done.stderr
    assert "| south is here" in done.stderr
    assert end_of(folder, "north")["cause"] == "lifeline"
    assert not (folder / "results").exists()
    assert not list((folder / "run").iterdir())
    assert not left(folder)


def test_a_party_without_last_words_is_given_some(folder):
    done = launched(folder, {"coordinator": FOREVER, "north": {"code": 9, "seconds": 0.5}, "south": FOREVER})
    assert done.returncode == 9
    end = end_of(folder, "north")
    assert (end["party"], end["code"], end["cause"]) == ("north", 9, "crash")
    assert end["message"] == "north is here"


def test_a_killed_party_is_named_though_its_peers_complain_at_once(folder):
    peer = {"code": 5, "cause": "peer_lost", "message": "north is gone", "mourns": "north"}
    does = {"coordinator": peer, "north": {"dies": "SIGKILL", "seconds": 0.6}, "south": peer}
    done = launched(folder, does)
    assert done.returncode == 137
    assert "party 'north' ended first (crash, exit status 137): ended by SIGKILL" in done.stderr
    assert end_of(folder, "north")["code"] == 137
    assert not left(folder)


def test_a_killed_coordinator_is_named(folder):
    done = launched(
        folder, {"coordinator": {"dies": "SIGKILL", "seconds": 0.5}, "north": FOREVER, "south": FOREVER}
    )
    assert done.returncode == 137
    assert "party 'coordinator' ended first" in done.stderr
    assert not left(folder)


def test_a_peer_lost_is_reported_when_nobody_has_a_better_reason(folder):
    lost = {"code": 5, "cause": "peer_lost", "message": "south: no answer for 60 s", "seconds": 0.3}
    done = launched(folder, {"coordinator": lost, "north": FOREVER, "south": FOREVER})
    assert done.returncode == 5
    assert "south: no answer for 60 s" in done.stderr


def test_what_a_party_started_itself_goes_too(folder):
    assert launched(folder, {"north": {"child": True}}).returncode == 0
    assert not left(folder)


def test_a_new_attempt_forgets_the_old_outcome_and_keeps_its_log(folder):
    assert launched(folder, {"north": {"code": 3, "cause": "data", "out": {"half": "1"}}}).returncode == 3
    again = launched(folder, {})
    assert again.returncode == 0, again.stderr
    assert end_of(folder, "north")["cause"] == "ok"
    assert not (folder / "results" / "half").exists()
    logs = sorted(path.name for path in (folder / "state" / "north").glob("log-*"))
    assert logs == ["log-1.txt", "log-2.txt"]


def test_over_tcp_the_sites_get_the_port_that_the_coordinator_picked(folder):
    assert launched(folder, {}, "--tcp").returncode == 0
    assert "tcp://127.0.0.1:0" in seen_by(folder, "coordinator")["argv"]
    assert "tcp://127.0.0.1:4711" in seen_by(folder, "north")["argv"]


def test_a_coordinator_that_fails_before_it_has_a_port_ends_the_gang(folder):
    does = {"coordinator": {"code": 4, "cause": "crash", "message": "no port"}}
    spec_without_port = launched(folder, does)
    assert spec_without_port.returncode == 4
    assert "no port" in spec_without_port.stderr


def test_what_the_coordinator_prints_beside_events_is_in_its_log(folder):
    assert (
        launched(
            folder, {"coordinator": {"prints": ["a stray line", {"event": "done", "seconds": 1}]}}
        ).returncode
        == 0
    )
    assert "a stray line" in (folder / "state" / "coordinator" / "log-1.txt").read_text()


def test_lines_carry_the_runs_name_and_go_to_the_log_too(folder):
    events = [
        {"event": "start", "run": "x", "rounds": 2, "trials": 1, "steps": 20},
        {"event": "step", "step": 7},
        {"event": "round", "trial": 0, "round": 0, "validation_loss": 0.5, "train_loss": 0.6, "step": 10},
        {"event": "round", "trial": 0, "round": 1, "validation_loss": None, "step": 20},
    ]
    done = launched(folder, {"coordinator": {"prints": events}}, "--log", str(folder / "logs" / "run.log"))
    assert done.returncode == 0
    rounds = [line for line in done.stderr.splitlines() if " round " in line]
    assert len(rounds) == 1  # the second came within a second
    assert rounds[0].startswith("test/task/split/0: round 1/2, step 10/20, validation loss 0.5000")
    assert (folder / "logs" / "run.log").read_text() == done.stderr
