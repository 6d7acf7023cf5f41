"""A rehearsal across hospitals: no shared disk or Snakemake, lasting keys, a slow link, a proxy, one late.

Every place is a host of its own: a network namespace with an address, and walls that show its folder alone.
What passes between places otherwise is copied by hand, as people would send it: the study's specs, a
request for admission, the statistics that were agreed on.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from containers.runtimes import choose, problem
from tests import namespaces
from tests.chaos.proxy import Proxy
from tests.conftest import ROOT, asked_for, require
from tests.containers.gangs import wait_for
from tests.e2e.checkout import snakemake

pytestmark = pytest.mark.timeout(900)  # a hang, not slowness: this runs a whole study twice
SITES = ("north", "south", "east", "west")
SLOW, LATE, BEHIND_A_PROXY = "east", "west", "north"
NETWORK = namespaces.Network(
    "strh", "10.77.8.254",
    {"coordinator": "10.77.8.100", **{name: f"10.77.8.{number}" for number, name in enumerate(SITES, 1)}},
)  # fmt: skip
STRATEGIES = ("split", "fedavg")
Process = subprocess.Popen[str]


@dataclass(frozen=True)
class Place:
    """One host: its name, its folder, and what its walls are made of."""

    name: str
    folder: Path
    runtime: str

    def start(self, *command: str) -> Process:
        """Start one of our programs there, behind walls that show this folder alone."""
        walls = ("--runtime", self.runtime, "--network", "host", "--bind", f"{self.folder}:rw")
        words = [sys.executable, "-m", "containers", "run", *walls, "--", "python", "-m", *command]
        return subprocess.Popen(
            [*NETWORK.enter(self.name), *words], cwd=self.folder, env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def run(self, *command: str) -> str:
        """Run a program there to its end; returns what it printed."""
        return ended(self.start(*command))


def ended(process: Process) -> str:
    said = process.communicate()[0]
    assert process.returncode == 0, said
    return said


@pytest.fixture
def network() -> Iterator[namespaces.Network]:
    asked_for("rehearsal", "hosts are made, and studies run in them,")
    if found := namespaces.missing():
        require("netns", found)
    with namespaces.joined(NETWORK) as joined:
        namespaces.slow_down(joined, SLOW, megabits=2)
        yield joined


def write_study(folder: Path) -> str:
    """Write a study of one task at four sites; returns its name within the folder."""
    keys = yaml.safe_load((ROOT / "config" / "studies" / "ci.yaml").read_text(encoding="utf-8"))
    keys |= {"strategies": {name: {} for name in STRATEGIES}, "reference": "fedavg"}
    keys["tasks"] = {"breast_cancer": {**keys["tasks"]["breast_cancer"], "sites": list(SITES)}}
    (folder / "config").mkdir(parents=True)
    (folder / "config" / "sites").symlink_to(ROOT / "config" / "sites")
    (folder / "config" / "study.yaml").write_text(yaml.safe_dump(keys), encoding="utf-8")
    return "config/study.yaml"


def plan(folder: Path) -> dict[str, Any]:
    """Resolve the study into the specs that every place is sent."""
    words = [sys.executable, "-m", "coordinator", "check", write_study(folder), "--plan", "plan.json"]
    subprocess.run(
        words, cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True, capture_output=True
    )
    return dict(json.loads((folder / "plan.json").read_text(encoding="utf-8")))


def prepare(places: dict[str, Place], sent: Path, planned: dict[str, Any]) -> None:
    """Give each place the specs, each hospital its raw files, which it prepares alone."""
    task = planned["tasks"]["breast_cancer"]
    words = [sys.executable, "-m", "sites", "deal", "--spec", task["deal"]["spec"], "--out", "dealt"]
    subprocess.run(
        words, cwd=sent, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True, capture_output=True
    )
    for place in places.values():
        for name in ("state", "prepared"):
            shutil.copytree(sent / name, place.folder / name)
    for name in SITES:
        shutil.copytree(sent / "dealt" / name, places[name].folder / "raw")
        spec, out = task["prepare"][name]["spec"], task["prepare"][name]["folder"]
        places[name].run("sites", "prepare", "--spec", spec, "--input", "raw", "--out", out)


def enrol(places: dict[str, Place]) -> None:
    """Make lasting keys at each place, and admit each site by the fingerprint its people tell."""
    coordinator = places["coordinator"]
    coordinator.run("coordinator", "keys", "--out", "keys", "coordinator")
    for name in SITES:
        told = places[name].run("sites", "enrol", "--site", name, "--out", "keys")
        fingerprint = re.search(r"telephone: (\S+)", told)
        assert fingerprint
        request = f"{name}.request.json"
        shutil.copy(places[name].folder / "keys" / request, coordinator.folder)
        coordinator.run(
            "coordinator",
            "admit",
            request,
            "--manifest",
            "keys/manifest.json",
            "--fingerprint",
            fingerprint[1],
        )
    for name in SITES:
        shutil.copy(coordinator.folder / "keys" / "manifest.json", places[name].folder / "keys")


def gang(places: dict[str, Place], spec: str, state: str, *more: str) -> Path:
    """Let the coordinator serve and the sites join, one of them late; returns the coordinator's output."""
    options = ("--spec", spec, "--manifest", "keys/manifest.json", *more)
    coordinator = places["coordinator"]
    address = NETWORK.hosts["coordinator"]
    own = ("--state", state, "--secret", "keys/coordinator.secret", "--endpoint", f"tcp://{address}:0")
    serving = coordinator.start("coordinator", "serve", *options, *own)
    published = coordinator.folder / state / "endpoint"
    wait_for(lambda: serving.poll() is not None or published.exists(), 120)
    assert published.exists(), serving.communicate()[0]
    endpoint = published.read_text(encoding="utf-8").strip()
    proxy = Proxy(NETWORK.here)  # this machine passes on what it is sent, and sees ciphertext alone
    proxy.target = (address, int(endpoint.rpartition(":")[2]))
    through = dict.fromkeys(SITES, endpoint) | {BEHIND_A_PROXY: proxy.endpoint}
    joining = [join(places[name], options, through[name], state) for name in SITES if name != LATE]
    time.sleep(3)
    joining.append(join(places[LATE], options, through[LATE], state))
    for process in (*joining, serving):
        ended(process)
    proxy.close()
    assert proxy.up > 0
    return coordinator.folder / state / "out"


def join(place: Place, options: Sequence[str], endpoint: str, state: str) -> Process:
    """Let a site join: it connects out, and opens no port."""
    own = (
        "--site",
        place.name,
        "--state",
        state,
        "--secret",
        f"keys/{place.name}.secret",
        "--endpoint",
        endpoint,
    )
    return place.start("sites", "join", *options, *own)


def settled(folder: Path, runtime: str) -> dict[str, Place]:
    """Give every place a folder of its own, mode 700."""
    places = {name: Place(name, folder / name, runtime) for name in ("coordinator", *SITES)}
    for place in places.values():
        place.folder.mkdir(mode=0o700)
        (place.folder / "keys").mkdir(mode=0o700)
    return places


def test_hospitals_that_share_nothing_train_the_same_model(
    network: namespaces.Network, tmp_path: Path
) -> None:
    runtime = choose("auto")
    if runtime == "host":
        require("bwrap", f"no walls can be built here: {problem('bubblewrap')}")
    places, sent = settled(tmp_path, runtime), tmp_path / "sent"
    planned = plan(sent)
    prepare(places, sent, planned)
    enrol(places)
    agreement = planned["tasks"]["breast_cancer"]["agree"]["0"]["spec"]
    statistics = gang(places, agreement, "state/agree") / "statistics.json"
    for place in places.values():
        shutil.copy(statistics, place.folder / "statistics.json")
    trained = {
        name: gang(
            places, planned["runs"][f"breast_cancer/{name}/0"]["spec"], f"state/{name}",
            "--statistics", "statistics.json",
        )
        for name in STRATEGIES
    }  # fmt: skip
    reference = tmp_path / "one-machine"
    weights = {name: f"results/ci/runs/breast_cancer/{name}/0/weights.sha256" for name in STRATEGIES}
    study = ("-s", str(ROOT / "Snakefile"), "--cores", "2", "--configfile", write_study(reference))
    snakemake(reference, *study, "--", *weights.values())
    for name in STRATEGIES:
        assert (trained[name] / "weights.sha256").read_bytes() == (reference / weights[name]).read_bytes()
    print(f"rehearsal in {runtime}: the weights of {', '.join(STRATEGIES)} are those of one machine")
