"""A gang's fork server: what it becomes are processes of their own; what it says if it cannot."""

import json
import os
import signal
import sys
from pathlib import Path

import pytest

from containers.environment import environment
from containers.errors import ConfigError
from containers.fork_server import ForkServer
from containers.member import reap
from containers.parties import OF_FORKS, PROGRAMS
from containers.shared_server import SharedServer
from containers.watch import Watch
from tests.containers.gangs import ROOT, wait_for

SURROUNDINGS = environment({**os.environ, "PYTHONPATH": str(ROOT)}, threads=1) | OF_FORKS
# late enough to have been asked by then
FAILING = "import time; time.sleep(1); raise SystemExit('no module named torch')"
# a command that lives until it is ended, in a package with a table of commands as ours have
PACKAGE = {
    "__main__.py": 'COMMANDS = {"wait": ("peers.wait", "wait"), "fail": ("peers.fail", "fail")}',
    "wait.py": """
import os, signal, subprocess, sys, time
def add_arguments(parser): parser.add_argument("paths", nargs="*")
def run(options):
    deaf = lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"], preexec_fn=deaf)
    print(os.getpid(), os.getsid(0), child.pid, flush=True)
    time.sleep(300)
""",
    "fail.py": "def add_arguments(parser): pass\ndef run(options): return 7\n",
}


@pytest.fixture
def watch():
    with Watch(leave_seconds=0.1, term_seconds=0.1) as watch:
        yield watch


@pytest.fixture
def server(request, tmp_path):
    """Start the program a test names, with a package of its own beside ours."""
    (tmp_path / "peers").mkdir()
    for name, text in PACKAGE.items():
        (tmp_path / "peers" / name).write_text(text)
    found = SURROUNDINGS | {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
    program = getattr(request, "param", PROGRAMS["fork_server"])
    with (
        Path(os.devnull).open() as keep,
        ForkServer(program, found, tmp_path / "log", keep=keep.fileno()) as it,
    ):
        yield it


def started(server, watch, folder, program, name="north"):
    member = server.start(name, program, folder / name, piped=False)
    watch.add(member)
    return member


def said(member, words):
    wait_for(lambda: len(member.log.read_text().split()) == words)
    return [int(word) for word in member.log.read_text().split()]


def ended(watch, *members):
    wait_for(lambda: watch.step(0.1) or all(member.ended for member in members))
    return [member.status for member in members]


def lives(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_each_site_is_a_process_of_its_own(tmp_path, watch, server):
    sites = [started(server, watch, tmp_path, ["peers", "wait"], name) for name in ("north", "south")]
    (pid, session, _), (other, other_session, _) = (said(site, 3) for site in sites)
    assert pid == session != other == other_session


def test_its_whole_command_line_is_seen_with_long_paths(tmp_path, watch, server):
    paths = [f"/{'deep/' * 60}{number}" for number in range(10)]
    pid, _, _ = said(started(server, watch, tmp_path, ["peers", "wait", *paths]), 3)
    seen = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").decode()
    assert seen.endswith(f"-m peers wait {' '.join(paths)}")


def test_what_our_own_program_says_and_how_it_ends_is_the_party_s(tmp_path, watch, server):
    asked = ["sites", "join", "--help"]
    sites = [started(server, watch, tmp_path, asked, name) for name in ("north", "south")]
    assert ended(watch, *sites) == [0, 0]
    for site in sites:
        reap(site)
        assert "usage: python -m sites join" in site.log.read_text()
    assert ended(watch, started(server, watch, tmp_path, ["peers", "fail"], "east")) == [7]


def test_a_signal_ends_a_party_and_is_told(tmp_path, watch, server):
    north, south = (started(server, watch, tmp_path, ["peers", "wait"], name) for name in ("north", "south"))
    (_, _, child), (other, _, _) = said(north, 3), said(south, 3)
    north.process.send(signal.SIGTERM)
    assert ended(watch, north) == [-signal.SIGTERM]
    wait_for(lambda: not lives(child))  # what it had started is ended with it
    assert lives(other)


def test_a_party_ends_with_its_server(tmp_path, watch, server):
    north = started(server, watch, tmp_path, ["peers", "wait"])
    pid, _, _ = said(north, 3)
    server._process.kill()
    assert ended(watch, north) == [-signal.SIGKILL]
    wait_for(lambda: not lives(pid))
    with pytest.raises(ConfigError, match="ended before it could start them"):
        server.start("south", ["peers", "wait"], tmp_path / "south", piped=False)


@pytest.mark.parametrize("server", [(sys.executable, "-c", FAILING)], indirect=True)
def test_a_server_that_cannot_import_fails_the_party_and_says_so_in_its_log(tmp_path, watch, server):
    north = started(server, watch, tmp_path, ["sites", "join"])
    assert ended(watch, north) == [1]
    assert "no module named torch" in north.log.read_text()
    with pytest.raises(ConfigError, match="before it could start them: no module named torch"):
        server.start("south", ["sites", "join"], tmp_path / "south", piped=False)


def test_a_question_whose_descriptors_found_no_room_ends_nobody_else(tmp_path, watch, server):
    north = started(server, watch, tmp_path, ["peers", "wait"])
    pid, _, _ = said(north, 3)
    server._link.send(json.dumps({"start": "south", "program": ["peers", "wait"]}).encode())
    assert json.loads(server._link.recv(100)) == {"ended": "south"}
    assert ended(watch, started(server, watch, tmp_path, ["peers", "fail"], "east")) == [7]
    assert lives(pid)


def test_what_a_party_cannot_import_is_in_its_log_and_ends_nobody_else(tmp_path, watch, server):
    north = started(server, watch, tmp_path, ["peers", "wait"])
    pid, _, _ = said(north, 3)
    south = started(server, watch, tmp_path, ["peers.none", "wait"], "south")
    assert ended(watch, south) == [1]
    assert "ModuleNotFoundError: No module named 'peers.none'" in south.log.read_text()
    assert ended(watch, started(server, watch, tmp_path, ["peers", "fail"], "east")) == [7]
    assert lives(pid)


def test_what_a_server_says_that_none_of_ours_would_ends_its_link_alone(tmp_path):
    """A network of the study's own runs in the same walls, and may take the link."""
    talks = """
import json, socket, sys
link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
link.connect(sys.argv[1])
link.send(sys.argv[2].encode())
link.recv(10)
"""
    for number, said in enumerate(('{"ended": "another"}', '{"ended": ["x"]}', "[]", "no json", "{}")):
        (tmp_path / str(number)).mkdir()
        link = tmp_path / str(number) / "link"
        server = SharedServer([sys.executable, "-c", talks, str(link), said], SURROUNDINGS, link.parent)
        server.accept()
        assert not server.hear()
        server.dismiss()
        server.leave(10.0)
