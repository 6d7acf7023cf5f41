"""A study within walls: the same weights as without any, named in the report, and nobody left behind."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from containers.runtimes import RUNTIMES
from tests.conftest import ROOT
from tests.containers.gangs import heed_signals, left, nobody_left, wait_for
from tests.e2e.checkout import snakemake

pytestmark = pytest.mark.timeout(900)  # a hang, not slowness: this runs whole studies

STRATEGIES = ("fedavg", "split")
WEIGHTS = [f"results/ci/runs/breast_cancer/{name}/0/weights.sha256" for name in STRATEGIES]


def study(folder: Path, runtime: str, rounds: int, images: str = "host") -> tuple[str, ...]:
    """Write a study of one task; returns Snakemake's options for it."""
    keys = yaml.safe_load((ROOT / "config" / "studies" / "ci.yaml").read_text(encoding="utf-8"))
    keys |= {"runtime": runtime, "images": images}
    keys |= {"strategies": {name: {} for name in STRATEGIES}, "reference": "fedavg"}
    keys["tasks"] = {"breast_cancer": keys["tasks"]["breast_cancer"]}
    keys["tasks"]["breast_cancer"]["training"]["rounds"] = rounds
    (folder / "config").mkdir(parents=True)
    (folder / "config" / "sites").symlink_to(ROOT / "config" / "sites")
    (folder / "config" / "study.yaml").write_text(yaml.safe_dump(keys), encoding="utf-8")
    return ("-s", str(ROOT / "Snakefile"), "--cores", "2", "--configfile", "config/study.yaml")


def test_a_study_within_walls_gives_the_same_weights_and_says_so(
    walls: str, reference: Mapping[str, bytes], tmp_path: Path
) -> None:
    within = tmp_path / "within"
    said = snakemake(within, *study(within, walls, rounds=2))
    assert {name: (within / name).read_bytes() for name in WEIGHTS} == reference
    level = RUNTIMES[walls].ISOLATION
    assert said.count(f" from the study's fork servers (isolation: {level})") == 1 + len(STRATEGIES)
    results = within / "results" / "ci"
    provenance = json.loads((results / "provenance.json").read_text())
    assert provenance["isolation"]["level"] == level
    layers = provenance["hashes"]["layers"]
    assert set(layers) == set(provenance["sites"])
    assert [len(hashes) for hashes in layers.values()] == [1] * len(layers)
    assert level in (results / "report.html").read_text(encoding="utf-8")
    owners = {(path.stat().st_uid, path.stat().st_gid) for path in within.rglob("*")}
    assert owners == {(os.getuid(), os.getgid())}
    # other walls are no reason to compute anything again
    again = snakemake(within, *study_of(within, "host"), "-n", "--", *WEIGHTS)
    assert "Nothing to be done" in again


def study_of(folder: Path, runtime: str) -> tuple[str, ...]:
    """Give Snakemake's options for a written study in other walls."""
    where = ("-s", str(ROOT / "Snakefile"), "--cores", "2", "--configfile", "config/study.yaml")
    return (*where, "--config", f"runtime={runtime}")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_an_ended_snakemake_leaves_nobody(walls: str, tmp_path: Path, number: signal.Signals) -> None:
    options = study(tmp_path, walls, rounds=100_000)
    words = [sys.executable, "-m", "snakemake", *options, "--", WEIGHTS[1]]
    outside = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with (tmp_path / "said").open("w") as said:
        job = subprocess.Popen(
            words,
            cwd=tmp_path,
            env=outside,
            stdout=said,
            stderr=said,
            process_group=0,
            preexec_fn=heed_signals,
        )
    log = tmp_path / "results" / "ci" / "logs" / "train" / "breast_cancer" / "split" / "0.log"
    wait_for(lambda: job.poll() is not None or (log.exists() and "round " in log.read_text()), 300)
    assert job.poll() is None, (tmp_path / "said").read_text()
    assert len(left(tmp_path)) > 3  # Snakemake, the launcher, and the parties, whose paths are relative
    # a terminal's Ctrl-C reaches the whole group, the kernel's kill of a greedy process one
    os.killpg(job.pid, number) if number == signal.SIGINT else job.kill()
    job.wait()
    state = tmp_path / "state" / "ci" / "breast_cancer" / "split" / "0"
    nobody_left(tmp_path)
    ends = [json.loads(path.read_text())["cause"] for path in state.glob("*/exit.json")]
    assert len(ends) == 3
    assert set(ends) <= {"lifeline", "peer_lost"}
