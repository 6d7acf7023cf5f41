"""`gate: outside` within walls: a hostile network gets nowhere, and an honest run ends with the same bits."""

import json
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from containers.runtimes import problem
from tests.conftest import ROOT, require
from tests.containers.gangs import nobody_left
from tests.e2e.tiny_study import TASK, environment, launch, prepare_table, run_command

pytestmark = pytest.mark.timeout(600)

SITES = ("alpha", "beta")
STATISTICS = "results/agree/statistics.json"
NETWORK = ROOT / "tests" / "prying_network.py"
# the launcher, whose walls show the study's own network beside Suture's packages
LAUNCHER = """
import argparse, os, sys
from pathlib import Path
from containers import host_programs
from containers.launch import add_arguments, run
from containers.sandbox import same_place

shown, real = Path(sys.argv.pop(1)), host_programs.interpreter
host_programs.interpreter = lambda: (*real(), same_place(shown))
parser = argparse.ArgumentParser()
add_arguments(parser)
parser.set_defaults(parent=os.getppid())
sys.exit(run(parser.parse_args()))
"""


class Listening:
    """Ears outside the walls: TCP, UDP and an abstract local socket of one number."""

    def __init__(self) -> None:
        self.tcp, self.udp = socket.socket(), socket.socket(type=socket.SOCK_DGRAM)
        self.local = socket.socket(socket.AF_UNIX)
        self.tcp.bind(("127.0.0.1", 0))
        self.port = self.tcp.getsockname()[1]
        self.udp.bind(("127.0.0.1", self.port))
        self.local.bind(f"\0suture-{self.port}")
        for each in (self.tcp, self.local):
            each.listen()

    def heard(self) -> list[str]:
        found = []
        for name in ("tcp", "udp", "local"):
            ear = getattr(self, name)
            ear.setblocking(False)
            try:
                ear.recvfrom(64) if name == "udp" else ear.accept()
                found.append(name)
            except BlockingIOError:
                pass
        return found

    def close(self) -> None:
        for each in (self.tcp, self.udp, self.local):
            each.close()


@pytest.fixture(scope="module")
def ears() -> Iterator[Listening]:
    with closing(Listening()) as found:
        yield found


@pytest.fixture(scope="module")
def study(ears: Listening) -> Iterator[Path]:
    """Prepare the ci study's table for a prying network, and agree on its statistics."""
    if found := problem("bubblewrap"):
        require("bwrap", found)
    folder = Path(tempfile.mkdtemp(prefix="st-", dir="/tmp"))
    (folder / "seen").mkdir()
    shutil.copy(NETWORK, folder / "seen" / NETWORK.name)
    plan = planned(folder, ears, "inside", prepare=True)
    launch(folder, plan["tasks"][TASK]["agree"]["0"]["spec"], "agree", statistics=None)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def planned(
    folder: Path, ears: Listening, gate: str, *, leaks: str = "", prepare: bool = False
) -> dict[str, Any]:
    """Plan the study with a gate inside or outside."""
    places = ("prepared/specs", "state/inside", "state/agree", "plan.json")
    secrets = " ".join(str(folder / name) for name in places)
    own = f"{{features: 30, port: {ears.port}, secrets: '{secrets}', leaks: '{leaks}'}}"
    allowed = "allow_models: ['prying_network:Net']"
    options = [
        *(f"sites.{site}={{name: {site}, {allowed}}}" for site in SITES),
        f"gate={gate}", "strategies.split_u={tasks: [pneumonia]}",
        f"tasks.{TASK}.sites=[alpha, beta]", f"tasks.{TASK}.training.rounds=2",
        f"tasks.{TASK}.model={{name: module, path: 'prying_network:Net', options: {own}}}",
    ]  # fmt: skip
    more = [f"--set={option}" for option in options]
    if prepare:
        return dict(prepare_table(folder, options=more))
    run_command(folder, "coordinator", "check", ROOT / "config/studies/ci.yaml", *more, "--plan", "plan.json")
    return dict(json.loads((folder / "plan.json").read_text()))


def within(folder: Path, spec: str, name: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Launch a gang within walls."""
    words = [sys.executable, "-c", LAUNCHER, str(folder / "seen"), "--spec", spec, "--runtime", "bubblewrap"]
    words += ["--statistics", STATISTICS, "--state", f"state/{name}"]
    words += ["--results", f"results/{name}", *options]
    return subprocess.run(
        words, cwd=folder, env=environment(folder), capture_output=True, text=True, timeout=300
    )


def test_a_hostile_network_gets_nowhere_and_changes_no_bit(study: Path, ears: Listening) -> None:
    launch(study, run_of(planned(study, ears, "inside")), "inside", statistics=STATISTICS)
    # over TCP those that speak have the host's network; what trains has none all the same
    done = within(study, run_of(planned(study, ears, "outside")), "outside", "--tcp")
    assert done.returncode == 0, done.stderr
    assert "gate: outside" in done.stderr
    for site in SITES:
        pried = json.loads((study / "state" / "outside" / site / "pried.json").read_text())
        assert len(pried) == 12
        assert not [name for name, came in pried.items() if came.startswith("done")], pried
        assert not (study / "state" / "outside" / f"{site}-gate" / "pried.json").exists()
        costs = ["--costs", study / "results" / "outside" / "costs.json", "--site", site]
        ledger = study / "state" / "outside" / f"{site}-gate" / "ledger.jsonl"
        run_command(study, "sites", "ledger", "verify", ledger, *costs)
        assert not (study / "state" / "outside" / site / "ledger.jsonl").exists()
    assert ears.heard() == []
    hashes = [(study / "results" / name / "weights.sha256").read_text() for name in ("inside", "outside")]
    assert hashes[0] == hashes[1]
    nobody_left(study)


@pytest.mark.parametrize(("leaks", "said"), [("weights", "refused Weights"), ("hello", "refused Hello")])
def test_records_do_not_leave_by_the_gate_s_own_socket(
    study: Path, ears: Listening, leaks: str, said: str
) -> None:
    done = within(study, run_of(planned(study, ears, "outside", leaks=leaks)), leaks)
    assert done.returncode == 2, done.stderr
    assert f"the release gate {said}" in done.stderr
    ledgers = [path.read_text() for path in (study / "state" / leaks).glob("*-gate/ledger.jsonl")]
    assert len(ledgers) == 2
    assert not [text for text in ledgers if '"Weights"' in text or text.count('"Hello"') > 1]
    nobody_left(study)


def run_of(plan: dict[str, Any]) -> str:
    """Name the spec of the split run."""
    return str(plan["runs"][f"{TASK}/split/0"]["spec"])


def test_the_network_would_get_far_without_walls(study: Path, ears: Listening) -> None:
    """The attempts are real: on the host, with the same gate, most of them go well."""
    spec = run_of(planned(study, ears, "outside"))
    launch(study, spec, "open", statistics=STATISTICS)
    pried = json.loads((study / "state" / "open" / SITES[0] / "pried.json").read_text())
    came = {name for name, what in pried.items() if what.startswith("done")}
    assert came >= {"tcp", "abstract", "coordinator", "door", "keys", "others", "ledger", "code"}
    assert {"tcp", "udp", "local"} <= set(ears.heard())
