"""The fork server: what it becomes are processes of their own; what it says if it cannot."""

import json
import os
import sys
from pathlib import Path

import pytest

from containers.environment import environment
from containers.errors import ConfigError
from containers.fork_server import ForkServer
from containers.member import reap, start
from containers.parties import PROGRAMS, THREADLESS
from containers.watch import Watch
from tests.containers.gangs import ROOT, wait_for

SURROUNDINGS = environment({**os.environ, "PYTHONPATH": str(ROOT)}, threads=1) | THREADLESS
PEER = [sys.executable, "-c", "import time; time.sleep(300)"]


@pytest.fixture
def watch(tmp_path):
    """Watch a gang of which one party is at work, as the coordinator is when sites start."""
    with Watch(leave_seconds=0.1, term_seconds=0.1) as watch, Path(os.devnull).open() as keep:
        log = tmp_path / "coordinator"
        watch.add(start("coordinator", PEER, SURROUNDINGS, log, keep=keep.fileno(), piped=False))
        yield watch


@pytest.fixture
def server(request, tmp_path):
    """Start the program a test names."""
    with (
        Path(os.devnull).open() as keep,
        ForkServer(request.param(tmp_path), SURROUNDINGS, tmp_path / "log", keep=keep.fileno()) as server,
    ):
        yield server


def the_real_one(folder):
    spec = folder / "spec.json"
    spec.write_text(json.dumps({"kind": "agreement"}))
    return [*PROGRAMS["fork_server"], "--spec", str(spec)]


def one_without_torch(_):
    return [sys.executable, "-c", "raise SystemExit('no module named torch')"]


@pytest.mark.parametrize("server", [the_real_one], indirect=True)
def test_each_site_is_a_process_of_its_own(tmp_path, watch, server):
    asked = ["sites", "join", "--help"]
    sites = [server.start(name, asked, tmp_path / name, watch, piped=False) for name in ("north", "south")]
    for site in sites:
        watch.add(site)
    wait_for(lambda: watch.step(0.1) or all(site.ended for site in sites))
    assert [site.status for site in sites] == [0, 0]
    assert len({site.process.pid for site in sites}) == 2
    for site in sites:
        assert os.getsid(site.process.pid) == site.process.pid
        reap(site)
        assert "usage: python -m sites join" in site.log.read_text()


@pytest.mark.parametrize("server", [one_without_torch], indirect=True)
def test_a_server_that_cannot_import_is_said_to_have_ended(tmp_path, watch, server):
    with pytest.raises(ConfigError, match="ended before it could start them: no module named torch"):
        server.start("north", ["sites", "join"], tmp_path / "north", watch, piped=False)


@pytest.mark.parametrize("server", [lambda _: PEER], indirect=True)
def test_nobody_waits_for_it_when_the_coordinator_has_left(tmp_path, watch, server):
    watch.members[0].process.kill()
    assert server.start("north", ["sites", "join"], tmp_path / "north", watch, piped=False) is None
