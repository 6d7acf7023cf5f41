"""A gang of the real programs in the middle of a run, and its parties' processes."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.containers.gangs import wait_for

OUTSIDE = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
OUTSIDE["SUTURE_RUNTIME"] = "host"


def begin(study, place, run, statistics, *options, within=()):
    """Start a launcher that keeps its parties' state in a folder of the test's own."""
    plan = json.loads((study / "plan.json").read_text())
    given = {"spec": plan["runs"][run]["spec"], "statistics": statistics, "log": place / "run.log"}
    given |= {"state": place / "state", "results": place / "results"}
    words = [word for name, value in given.items() for word in (f"--{name}", str(value))]
    words = [*within, sys.executable, "-m", "containers", "launch", *words, *options]
    return subprocess.Popen(words, cwd=study, env=OUTSIDE, stderr=subprocess.PIPE, text=True)


def in_the_middle(launcher, log):
    """Wait until a round is over."""
    wait_for(lambda: launcher.poll() is not None or (log.exists() and "round " in log.read_text()), 120)
    assert launcher.poll() is None, log.read_text() if log.exists() else "it never began"


def until_commit(launcher, state, number):
    """Wait until the coordinator has kept a commit with that number or a later one, in a run that goes on."""
    kept = state / "coordinator" / "commits"
    wait_for(
        lambda: launcher.poll() is not None or any(int(p.name[:8]) >= number for p in kept.glob("0*")), 120
    )
    assert launcher.poll() is None, launcher.communicate()[1]


def pid_of(place, party):
    """Give the number of a party's process, if there is one."""
    wanted = f"--state {place}/state/{party} ".encode()
    found = [
        path
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if wanted in read(path).replace(b"\0", b" ") + b" "
    ]
    return int(found[0].parent.name) if found else None


def kill(place, party, past=()):
    """Kill a party once it has a process other than its past ones, and give its number."""
    given = wait_for(lambda: {pid_of(place, party)} - {None, *past}).pop()
    os.kill(given, signal.SIGKILL)
    return given


def read(path):
    """Read a file of /proc, whose process may be gone."""
    try:
        return path.read_bytes()
    except OSError:
        return b""
