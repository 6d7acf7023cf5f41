"""The walls of every runtime that works here, seen and pushed at from inside."""

import json
import os
import shutil
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from containers.errors import ConfigError
from containers.runtimes import RUNTIMES, STRONGEST_FIRST, bubblewrap, choose, problem
from containers.sandbox import Bind, Sandbox
from tests.containers.drive import STUB
from tests.containers.gangs import (
    FOREVER,
    ROOT,
    SITES,
    end_of,
    environment,
    launched,
    nobody_left,
    seen_by,
    start_launcher,
)

ALL_FOREVER = dict.fromkeys(("coordinator", *SITES), FOREVER)
NOTHING = "0" * 16


def run(walls, folder, *words, options=(), **settings):
    """Run a command in a sandbox, in a folder."""
    command = [sys.executable, "-m", "containers", "run", "--runtime", walls, *options, "--", *words]
    return subprocess.run(
        list(map(str, command)), cwd=folder, env=environment(folder), capture_output=True, text=True,
        timeout=60, **settings,
    )  # fmt: skip


@pytest.fixture
def hospital(folder):
    """Lay out a site's raw files and output folder, and what belongs to others."""
    for name in ("raw/north", "raw/south", "out", "prepared/south", "results", "keys"):
        (folder / name).mkdir(parents=True)
    for name in ("raw/north/a.csv", "raw/south/b.csv", "prepared/south/records.parquet", "keys/south.secret"):
        (folder / name).write_text("private")
    return folder


OTHERS = ("raw/south/b.csv", "prepared/south/records.parquet", "keys/south.secret", "results", "run")
HOSTS = ("/etc/shadow", "/etc/hostname", str(Path.home() / ".ssh"), "/home", "/var", "/run", "/sys/class/net")


# what Docker makes for each container: its own name, and a view of the one interface it has
OF_ITS_OWN = {"docker": {"/etc/hostname", "/sys/class/net"}}


def preparation(walls, hospital):
    """Look around from where a site's preparation runs."""
    places = [*map(str, (hospital / "raw/north", hospital / "out", *(hospital / name for name in OTHERS)))]
    inside = [*places, *HOSTS, "/", "/usr", "/tmp", sys.prefix, str(ROOT / "sites")]
    options = ("--bind", hospital / "raw/north", "--bind", f"{hospital / 'out'}:rw")
    done = run(walls, hospital, "python", STUB, "look", *inside, options=options)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_preparation_sees_its_own_files_and_no_network(walls, hospital):
    seen = preparation(walls, hospital)
    assert seen["interfaces"] == ["lo"]
    assert str(hospital / "raw/north") in seen["there"]
    assert not {str(hospital / name) for name in OTHERS} & set(seen["there"])
    assert not (set(HOSTS) - OF_ITS_OWN.get(walls, set())) & set(seen["there"])
    assert seen["processes"] <= 3


def test_a_preparation_writes_to_its_output_alone(walls, hospital):
    assert preparation(walls, hospital)["writable"] == [str(hospital / "out"), "/tmp"]
    assert not list((hospital / "out").iterdir())


def test_nobody_inside_has_a_right_or_can_get_one(walls, hospital):
    rights = preparation(walls, hospital)["rights"]
    assert {rights[name] for name in ("CapEff", "CapPrm", "CapInh", "CapAmb", "CapBnd")} == {NOTHING}
    assert rights["NoNewPrivs"] == "1"


def test_outputs_belong_to_who_started_it(walls, hospital):
    done = run(walls, hospital, "touch", "out/file", options=("--bind", "out:rw"))
    assert done.returncode == 0, done.stderr
    found = (hospital / "out" / "file").stat()
    assert (found.st_uid, found.st_gid) == (os.getuid(), os.getgid())


def test_words_input_and_exit_status_pass_through(walls, folder):
    program = "import sys; print(sys.stdin.read().upper()); print('words', file=sys.stderr); sys.exit(7)"
    done = run(walls, folder, "python", "-c", program, input="abc")
    assert (done.returncode, done.stdout.strip(), done.stderr.strip()) == (7, "ABC", "words")


def test_too_much_memory_ends_it(walls, folder):
    options = ("--memory", 200 * 2**20)
    assert run(walls, folder, "python", "-c", "bytearray(50 * 2**20)", options=options).returncode == 0
    done = run(walls, folder, "python", "-c", "bytearray(500 * 2**20)", options=options)
    assert done.returncode == 1
    assert "MemoryError" in done.stderr


def test_a_party_that_takes_too_much_memory_ends_the_run_and_is_named(walls, folder):
    does = {"coordinator": FOREVER, "south": FOREVER, "north": {"takes": 500 * 2**20}}
    done = launched(folder, does, "--runtime", walls, "--memory", str(200 * 2**20))
    assert done.returncode == 1
    assert "party 'north' ended first (crash, exit status 1): MemoryError" in done.stderr
    nobody_left(folder / "state")


@pytest.mark.parametrize(("name", "words"), [("apptainer", ["--nv"]), ("docker", ["--gpus", "all"])])
def test_a_gpu_is_shown_where_it_is_asked_for(name, words):
    with_gpu, without = (RUNTIMES[name].argv(Sandbox(command=("true",), gpus=gpus)) for gpus in (1, 0))
    assert [word for word in with_gpu if word not in without] == words


GREEDY = """
import sys
from coordinator.command_line import main

def add_arguments(parser):
    pass

def run(options):
    return len(bytearray(900 * 2**20)) * 0

sys.modules["greedy"] = sys.modules[__name__]
sys.exit(main("greedy", {"take": ("greedy", "takes much")}, ["take"]))
"""


def test_the_studys_limit_holds_for_a_preparation_too(walls, folder):
    (folder / "greedy.py").write_text(GREEDY)
    words = [sys.executable, "-m", "containers", "run", "--runtime", walls, "--", "python", "greedy.py"]
    limited = {**environment(folder), "SUTURE_MEMORY_MB": "400"}
    done = subprocess.run(words, cwd=folder, env=limited, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "greedy take: memory ran out (its limit is 400 MB; `memory_mb` in the study" in done.stderr


def test_a_party_sees_its_own_and_meets_over_the_socket_alone(walls, folder):
    """Whatever else it asks for is not there; only the coordinator can put a socket into its place."""
    names = [f"state/{party}" for party in ("coordinator", *SITES)] + [f"prepared/{site}" for site in SITES]
    places = [str(folder / name) for name in (*names, "results")]
    does = {party: {"looks": places} for party in ("coordinator", *SITES)}
    done = launched(folder, does, "--runtime", walls)
    assert done.returncode == 0, done.stderr
    for party in ("coordinator", *SITES):
        seen, meeting = seen_by(folder, party)["looked"], seen_by(folder, party)["meeting"]
        own = [str(folder / "state" / party)]
        data = [str(folder / "prepared" / party)] if party in SITES else []
        assert (seen["interfaces"], seen["there"], seen["writable"]) == (["lo"], own + data, own)
        assert (seen["rights"]["CapEff"], seen["rights"]["NoNewPrivs"]) == (NOTHING, "1")
        assert meeting["files"] == sorted([f"{party}.secret", "manifest.json", "socket"])
        assert meeting["may_bind"] == (party == "coordinator")


def test_the_walls_are_named_in_log_and_results(walls, folder):
    done = launched(folder, {}, "--runtime", walls)
    assert f"(isolation: {RUNTIMES[walls].ISOLATION})" in done.stderr
    assert json.loads((folder / "results" / "isolation.json").read_text()) == {
        "runtime": walls, "isolation": RUNTIMES[walls].ISOLATION,
    }  # fmt: skip
    assert not list((folder / "run").iterdir())
    nobody_left(folder)


def test_a_party_that_fails_is_named(walls, folder):
    failing = {"code": 3, "cause": "data", "message": "row 7: 'abc' is no number", "seconds": 0.5}
    does = {"coordinator": FOREVER, "north": FOREVER, "south": failing}
    done = launched(folder, does, "--runtime", walls)
    assert done.returncode == 3
    assert "party 'south' ended first (data, exit status 3): row 7: 'abc' is no number" in done.stderr
    assert end_of(folder, "north")["cause"] == "lifeline"
    nobody_left(folder)


def test_a_killed_party_is_named(walls, folder):
    does = {"coordinator": FOREVER, "north": {"dies": "SIGKILL", "seconds": 0.5}, "south": FOREVER}
    done = launched(folder, does, "--runtime", walls)
    assert done.returncode == 137
    assert "party 'north' ended first (crash, exit status 137): ended by SIGKILL" in done.stderr
    nobody_left(folder)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_launcher_ends_all_in_order(walls, folder, number):
    launcher = start_launcher(folder, ALL_FOREVER, "--runtime", walls)
    launcher.send_signal(number)
    assert f"stopped by {number.name}" in launcher.communicate(timeout=60)[1]
    assert launcher.returncode == 128 + number
    assert {end_of(folder, party)["cause"] for party in ("coordinator", *SITES)} == {"lifeline"}
    assert not list((folder / "run").iterdir())
    nobody_left(folder)


def test_a_killed_launcher_leaves_nobody_and_its_parties_leave_in_order(walls, folder):
    launcher = start_launcher(folder, ALL_FOREVER, "--runtime", walls)
    launcher.kill()
    launcher.communicate()
    nobody_left(folder)
    assert {end_of(folder, party)["cause"] for party in ("coordinator", *SITES)} == {"lifeline"}


def test_a_deaf_party_and_its_children_go_too(walls, folder):
    does = dict(ALL_FOREVER, north={"stubborn": True, "child": True, "seconds": 300})
    launcher = start_launcher(folder, does, "--runtime", walls)
    launcher.terminate()
    launcher.communicate(timeout=60)
    assert launcher.returncode == 143
    nobody_left(folder)


def test_the_next_launcher_waits_for_the_parties_of_a_killed_one(walls, folder):
    """The lock on the state folder passes through the wall."""
    slow = dict(ALL_FOREVER, north={"stubborn": True, "lingers": 3, "out": {"late": "of the first attempt"}})
    launcher = start_launcher(folder, slow, "--runtime", walls)
    launcher.kill()
    launcher.communicate()
    assert not (folder / "state" / "north" / "exit.json").exists()
    again = launched(folder, {}, "--runtime", walls)
    assert again.returncode == 0, again.stderr
    assert not (folder / "state" / "north" / "out" / "late").exists()
    nobody_left(folder)


def test_over_tcp_a_gang_has_the_hosts_network(walls, folder):
    done = launched(folder, {}, "--tcp", "--runtime", walls)
    assert done.returncode == 0, done.stderr
    assert "the host's network is in sight" in done.stderr
    assert "tcp://127.0.0.1:4711" in seen_by(folder, "north")["argv"]


def test_the_host_runtime_says_that_it_has_no_walls(hospital):
    seen = preparation("host", hospital)
    assert str(hospital / "keys/south.secret") in seen["there"]
    assert RUNTIMES["host"].ISOLATION.startswith("none")


def test_auto_takes_the_strongest_that_works(monkeypatch):
    for name in STRONGEST_FIRST[:-1]:
        monkeypatch.setattr(RUNTIMES[name], "problem", lambda: "")
    for name, weaker in pairwise(STRONGEST_FIRST):
        problem.cache_clear()
        assert choose("auto") == name
        problem.cache_clear()
        monkeypatch.setattr(RUNTIMES[name], "problem", lambda: "no such walls here")
        assert choose("auto") == weaker
        with pytest.raises(ConfigError, match=f"--runtime {name}: no such walls here, or choose another"):
            choose(name)
    problem.cache_clear()


def test_a_missing_and_a_forbidden_bubblewrap_are_told_apart(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "apt-get install bubblewrap" in bubblewrap.problem()
    refusing = tmp_path / "bwrap"
    refusing.write_text("#!/bin/sh\necho 'setting up uid map: Permission denied' >&2\nexit 1\n")
    refusing.chmod(0o755)
    assert "(setting up uid map: Permission denied); are user namespaces allowed?" in bubblewrap.problem()


def words_of(command, **settings):
    """Give bubblewrap's words as one text, for a look at their order."""
    return " ".join(bubblewrap.argv(Sandbox(command=command, **settings)))


def test_a_party_sees_only_the_packages_it_runs():
    python = sys.executable
    coordinator = words_of((python, "-m", "coordinator", "serve"))
    assert f"--ro-bind {ROOT}/coordinator {ROOT}/coordinator" in coordinator
    assert f"{ROOT}/sites" not in coordinator
    assert f"--ro-bind {ROOT}/sites {ROOT}/sites" in words_of((python, "-m", "sites", "join"))
    assert f"{ROOT}/workflow" not in words_of((python, "-m", "sites", "join"))


def test_the_command_line_says_what_is_asked():
    binds = (Bind(Path("/a"), Path("/b")), Bind(Path("/c"), Path("/tmp/d"), "rw"))
    plain = words_of(("true",), binds=binds)
    assert "--unshare-all --cap-drop ALL" in plain
    assert "--die-with-parent --new-session" in plain
    assert plain.index("--tmpfs /tmp") < plain.index("--ro-bind /a /b --bind /c /tmp/d")
    assert plain.index("--bind /c /tmp/d") < plain.index("--remount-ro /")
    assert plain.endswith("-- true")
    assert "--unshare-all --share-net" in words_of(("true",), network="host")
    assert "--die-with-parent" not in words_of(("true",), lifeline=True)
    assert words_of(("true",), memory=1024).endswith("-- prlimit --data=1024 -- true")


def test_names_of_programs_are_whole_paths():
    assert bubblewrap.argv(Sandbox(command=("true",)))[0] == (shutil.which("bwrap") or "bwrap")
