"""One command in its own sandbox, and the command line around it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from containers.environment import environment
from containers.errors import ConfigError
from containers.run import bind
from containers.runtimes import RUNTIMES, choose
from containers.sandbox import Bind, Sandbox
from tests.containers.gangs import nobody_left, wait_for

ROOT = Path(__file__).resolve().parent.parent.parent


def containers(*arguments, **options):
    own = {"PYTHONPATH": str(ROOT), "TOKEN": "private", "SUTURE_RUNTIME": "host"}
    outside = {**os.environ, **own, **options.pop("environment", {})}
    words = [sys.executable, "-m", "containers", *map(str, arguments)]
    return subprocess.run(words, env=outside, capture_output=True, text=True, timeout=60, **options)


def test_output_input_and_exit_status_are_the_commands_own():
    program = "import sys; print(sys.stdin.read().upper()); print('words', file=sys.stderr); sys.exit(7)"
    done = containers("run", "--", "python", "-c", program, input="abc")
    assert (done.returncode, done.stdout.strip(), done.stderr.strip()) == (7, "ABC", "words")


def test_python_is_this_python_and_the_environment_is_small():
    program = "import json, os, sys; print(json.dumps([sys.executable, dict(os.environ)]))"
    done = containers(
        "run", "--threads", 2, "--", "python", "-c", program, environment={"PATH": "/usr/bin:/bin"}
    )
    python, inside = json.loads(done.stdout)
    assert python == sys.executable
    assert inside["OMP_NUM_THREADS"] == "2"
    assert "TOKEN" not in inside


def test_a_signal_reaches_the_command():
    words = [sys.executable, "-m", "containers", "run", "--", "python", "-c", "print(1, flush=True); input()"]
    outside = {**os.environ, "PYTHONPATH": str(ROOT), "SUTURE_RUNTIME": "host"}
    with subprocess.Popen(words, env=outside, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as job:
        job.stdout.readline()
        job.terminate()
        assert job.wait(30) == -signal.SIGTERM


def test_the_command_dies_with_its_parent(folder):
    sleep = f"python -c 'import time; time.sleep(300)' {folder}/x"
    job = f"exec {sys.executable} -m containers run --parent $PPID -- {sleep}"
    program = f"import subprocess; subprocess.run(['bash', '-c', {job!r}])"
    outside = {**os.environ, "PYTHONPATH": str(ROOT), "SUTURE_RUNTIME": "host"}
    parent = subprocess.Popen([sys.executable, "-c", program], env=outside)
    in_sleep = f"python -c import time; time.sleep(300) {folder}/x"
    wait_for(lambda: any(in_sleep in words for words in everybody()))
    parent.kill()
    parent.wait()
    nobody_left(folder)


def everybody():
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run"], "no command given"),
        (["run", "--", "no-such-program"], "no-such-program: cannot be started"),
        (["run", "--threads", "0", "--", "true"], "expected 1 or more"),
        (["run", "--threads", "x", "--", "true"], "invalid int value"),
        (["run", "--bind", "/no/such/folder", "--", "true"], "does not exist"),
        (
            ["run", "--runtime", "dokcer", "--", "true"],
            "unknown runtime 'dokcer'; known names: auto, apptainer, bubble",
        ),
        (["run", "--network", "all", "--", "true"], "invalid choice"),
        (["launch"], "required: --spec, --state, --results"),
        (["launch", "--spec", "none.json", "--state", "s", "--results", "r"], "none.json: cannot be read"),
        (["lunch"], "invalid choice: 'lunch'"),
        ([], "required: COMMAND"),
    ],
)
def test_bad_input_is_a_sentence_and_status_2(arguments, message, tmp_path):
    done = containers(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", [[], ["launch"], ["run"]])
def test_help_tells_of_each_command(command):
    done = containers(*command, "--help")
    assert done.returncode == 0
    assert "usage: python -m containers" in done.stdout


def test_a_bad_spec_is_in_the_log_too(tmp_path):
    options = ("--spec", "none.json", "--state", "s", "--results", "r", "--log", tmp_path / "run.log")
    assert containers("launch", *options, cwd=tmp_path).returncode == 2
    assert "none.json: cannot be read" in (tmp_path / "run.log").read_text()


def test_binds(tmp_path):
    assert bind(str(tmp_path)) == Bind(tmp_path, tmp_path, "ro")
    assert bind(f"{tmp_path}:rw") == Bind(tmp_path, tmp_path, "rw")
    assert bind(f"{tmp_path}:/data:ro") == Bind(tmp_path, Path("/data"), "ro")
    for wrong in ("", f"{tmp_path}:/a:/b:ro", f":{tmp_path}", f"{tmp_path}:/data:rx"):
        with pytest.raises(ConfigError, match=r"expected SOURCE\[:TARGET\]\[:ro\|rw\]"):
            bind(wrong)


def test_the_host_runtime_has_no_walls_and_says_so():
    runtime = RUNTIMES["host"]
    assert runtime.argv(Sandbox(command=("a", "b"), network="none", memory=1)) == ["a", "b"]
    assert runtime.ISOLATION.startswith("none")
    assert choose("auto") in RUNTIMES


def test_the_environment_pins_threads_against_the_shells():
    inside = environment(
        {"OMP_NUM_THREADS": "64", "LC_ALL": "C", "HTTPS_PROXY": "x", "HOME": "/h"}, threads=1
    )
    assert inside["OMP_NUM_THREADS"] == inside["OPENBLAS_NUM_THREADS"] == "1"
    assert (inside["LC_ALL"], inside["HOME"]) == ("C", "/h")
    assert "HTTPS_PROXY" not in inside
