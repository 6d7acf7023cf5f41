"""A clock that is set, by hand or by the network, decides nothing: what is waited for goes by another."""

import ast
import os
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from containers.gang import COORDINATOR
from containers.member import Member
from containers.restarting import GOING_SECONDS, LATEST_SECONDS, Restarting

ROOT = Path(__file__).resolve().parent.parent
# who reads the clock on the wall, and why that decides nothing here
READERS = {
    "containers/gathering.py": "the end of a Slurm job, which Slurm tells in seconds since the epoch",
    "containers/outcome.py": "when a party ended, written down",
    "containers/runtime_folder.py": "the age of a folder; one that is in use is held by a lock besides",
    "coordinator/outcome.py": "when a party ended, written down",
    "coordinator/server/committing.py": "when a run went back to a commit, written down",
    "coordinator/server/status.py": "when a status was written",
    "coordinator/status.py": "how long ago that was, shown",
}


def reads_the_wall(path: Path) -> bool:
    """Say whether a file calls or hands on ``time.time``, or imports it by name."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Attribute(value=ast.Name(id="time"), attr="time" | "time_ns"):
                return True
            case ast.ImportFrom(module="time", names=names) if {"time", "time_ns"} & {n.name for n in names}:
                return True
    return False


def test_the_clock_on_the_wall_is_read_where_it_decides_nothing() -> None:
    files = [
        path for layer in ("containers", "coordinator", "sites") for path in (ROOT / layer).rglob("*.py")
    ]
    assert {path.relative_to(ROOT).as_posix() for path in files if reads_the_wall(path)} == set(READERS)


@pytest.mark.parametrize("jump", [-86_400.0, 0.0, 86_400.0])
@pytest.mark.parametrize(("ago", "asked"), [(GOING_SECONDS / 2, False), (GOING_SECONDS * 2, True)])
def test_a_clock_that_jumps_hurries_nobody(monkeypatch, jump: float, ago: float, asked: bool) -> None:
    """A site has its seconds to leave once the coordinator is done, whatever a clock says meanwhile."""
    reading, writing = os.pipe()
    site = Member("north", None, writing, Path())
    done = Member(COORDINATOR, None, -1, Path(), ended=time.monotonic() - ago)
    watch = SimpleNamespace(
        members=[done, site], alive=lambda: [site], ending_since=None, stopped_by=None, forget=lambda _: None
    )
    starting = SimpleNamespace(gang=SimpleNamespace(goes_on=True, here=(COORDINATOR, "north"), restarts=1))
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + jump)
    Restarting(starting, watch, None, None, None).revive()
    assert site.asked_to_leave == asked
    os.close(reading)
    if not asked:
        os.close(writing)


@pytest.mark.parametrize(
    ("ago", "times", "again"),
    [
        (GOING_SECONDS / 2, 1, 0),
        (GOING_SECONDS * 2, 1, 1),
        (LATEST_SECONDS / 2, 0, 0),
        (LATEST_SECONDS * 2, 0, 1),
    ],
)
def test_who_waits_for_a_coordinator_that_is_done_hears_the_end_again(monkeypatch, ago, times, again) -> None:
    site = Member("north", None, -1, Path())
    done = Member(COORDINATOR, SimpleNamespace(returncode=0), -1, Path(), ended=time.monotonic() - ago)
    watch = SimpleNamespace(members=[done, site], alive=lambda: [site], ending_since=None, stopped_by=None)
    here = (COORDINATOR, "north")
    starting = SimpleNamespace(gang=SimpleNamespace(goes_on=False, here=here, restarts=1))
    restarting = Restarting(starting, watch, None, None, None)
    restarting.times["north"], started = times, []
    monkeypatch.setattr(restarting, "_start", started.append)
    restarting.revive()
    assert started == [[done]] * again
