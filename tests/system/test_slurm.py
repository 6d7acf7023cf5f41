"""A study on a real cluster of two nodes: the same weights as on this machine."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from containers.runtimes import problem
from tests.conftest import ROOT, require
from tests.containers.gangs import wait_for
from tests.e2e.checkout import snakemake
from tests.slurm_cluster import cluster
from tests.system.test_walls import WEIGHTS, study

pytestmark = pytest.mark.timeout(1800)  # a hang, not slowness: a cluster is asked for its jobs' states slowly
PROFILE = ("--workflow-profile", "workflow/profiles/slurm")
SOON = ("--slurm-init-seconds-before-status-checks", "1")  # jobs of seconds: the next look is 11 s later


@pytest.fixture
def slurm() -> Iterator[Path]:
    with cluster() as folder:
        yield folder


def test_a_study_on_a_cluster_gives_the_same_weights(
    slurm: Path, reference: Mapping[str, bytes], tmp_path: Path
) -> None:
    """In Apptainer's walls on both nodes, with nothing but what the profile says."""
    if found := problem("apptainer"):
        require("apptainer", found)
    study(tmp_path, "apptainer", rounds=2)
    for name in ("workflow", "profiles"):
        (tmp_path / name).symlink_to(ROOT / name)
    where = ("-s", str(ROOT / "Snakefile"), "--configfile", "config/study.yaml", *PROFILE, *SOON)
    said = snakemake(tmp_path, *where, "--", *WEIGHTS)
    assert {name: (tmp_path / name).read_bytes() for name in WEIGHTS} == reference, said
    walls = json.loads((tmp_path / WEIGHTS[0]).with_name("isolation.json").read_text(encoding="utf-8"))
    assert walls["runtime"] == "apptainer"
    assert "over TCP between 2 nodes" in walls["isolation"]


def test_a_run_over_two_nodes_goes_on_after_a_time_limit_and_after_a_lost_node(
    slurm: Path, tmp_path: Path
) -> None:
    """Slurm's warning before a time limit is a SIGTERM to the job's steps, which `scancel` can send too."""
    snakemake(tmp_path, *study(tmp_path, "host", rounds=24), "--", WEIGHTS[0])
    undisturbed = (tmp_path / WEIGHTS[0]).read_bytes()
    shutil.rmtree(tmp_path / "results" / "ci" / "runs")
    state = tmp_path / "state" / "ci" / "breast_cancer" / "fedavg" / "0"
    shutil.rmtree(state)
    log = tmp_path / "fedavg.log"

    job = submit(tmp_path, state, log)
    wait_for(lambda: commits(state) >= 3 or job.poll() is not None, 120)
    subprocess.run(["scancel", "--name=gang", "--signal=TERM"], check=True)
    assert job.wait(120), log.read_text()
    assert "stopped by SIGTERM; every party has left" in log.read_text()
    assert {end_of(state, party) for party in ("coordinator", "north", "south")} == {"lifeline"}
    stopped_at = commits(state)

    job = submit(tmp_path, state, log)
    wait_for(lambda: commits(state) >= stopped_at + 3 or job.poll() is not None, 120)
    os.kill(launcher_of(state, rank=1), signal.SIGKILL)
    assert job.wait(120), log.read_text()
    lost_at = commits(state)
    assert lost_at >= stopped_at + 3
    assert f"all go on from commit {stopped_at}" in log.read_text()

    assert submit(tmp_path, state, log).wait(240) == 0, log.read_text()
    assert f"all go on from commit {lost_at}" in log.read_text()
    assert (tmp_path / WEIGHTS[0]).read_bytes() == undisturbed


def submit(folder: Path, state: Path, log: Path) -> "subprocess.Popen[bytes]":
    """Submit a run's gang as the profile says it, without Snakemake, which asks for states slowly."""
    profile = yaml.safe_load((ROOT / PROFILE[1] / "config.yaml").read_text(encoding="utf-8"))
    asked = profile["set-resources"]["train"]
    [spec] = [
        path for path in (folder / "state/ci/specs").glob("run-*.json")
        if json.loads(path.read_text(encoding="utf-8"))["strategy"] == "fedavg"
    ]  # fmt: skip
    runtime = "host" if problem("apptainer") else "apptainer"
    launch = [sys.executable, "-m", "containers", "launch", "--runtime", runtime, "--spec", str(spec)]
    launch += ["--statistics", "results/ci/statistics/breast_cancer/0/statistics.json", "--state", str(state)]
    launch += ["--results", str(Path(WEIGHTS[0]).parent)]
    words = ["sbatch", "--wait", "--job-name=gang", f"--output={log}", f"--nodes={asked['nodes']}"]
    words += [f"--ntasks={asked['tasks']}", asked["slurm_extra"].strip("'")]
    command = f"exec {asked['mpi'].strip(chr(39))} {shlex.join(launch)}"
    outside = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([*words, f"--wrap={command}"], cwd=folder, env=outside, stdout=subprocess.DEVNULL)


def commits(state: Path) -> int:
    """Give the number of the coordinator's last commit."""
    found = (state / "coordinator" / "commits").glob("[0-9]*.safetensors")
    return max((int(path.name.partition(".")[0]) for path in found), default=-1)


def end_of(state: Path, party: str) -> str:
    return str(json.loads((state / party / "exit.json").read_text(encoding="utf-8"))["cause"])


def launcher_of(state: Path, rank: int) -> int:
    """Find the launcher of one node; both nodes are this machine."""
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (path / "cmdline").read_bytes().split(b"\0")
            step = (path / "environ").read_bytes().split(b"\0")
            # srun has the same words among its own
            launches = words[1:4] == [b"-m", b"containers", b"launch"] and bytes(state) in words
            if launches and f"SLURM_PROCID={rank}".encode() in step:
                return int(path.name)
    raise AssertionError("no such launcher")


def test_snakemake_itself_is_a_job_that_submits_the_others(slurm: Path, tmp_path: Path) -> None:
    study(tmp_path, "host", rounds=2)
    outside = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    check = [sys.executable, "-m", "coordinator", "check", "config/study.yaml", "--plan", "plan.json"]
    subprocess.run(check, cwd=tmp_path, env=outside | {"PYTHONPATH": str(ROOT)}, check=True)
    plan = json.loads((tmp_path / "plan.json").read_text(encoding="utf-8"))
    dealt = plan["tasks"]["breast_cancer"]["deal"]["folder"]
    locks = tmp_path / ".snakemake" / "locks"
    locks.mkdir(parents=True)
    (locks / "0.output.lock").write_text(f"{dealt}\n")  # as a killed Snakemake leaves it
    profile = ROOT / "workflow" / "profiles" / "slurm"
    words = ["sbatch", "--wait", str(profile / "suture.sbatch"), "-s", str(ROOT / "Snakefile")]
    settings = {"PROFILE": str(profile), "PYTHON": sys.executable}
    submitted = subprocess.run(
        [*words, "--configfile", "config/study.yaml", *SOON, "--", dealt],
        cwd=tmp_path, env=outside | settings, capture_output=True, text=True,
    )  # fmt: skip
    [log] = tmp_path.glob("suture-*.log")
    said = log.read_text(encoding="utf-8")
    assert submitted.returncode == 0, submitted.stderr + said
    assert (tmp_path / dealt / "north").is_dir()
    assert "has been submitted with SLURM jobid" in said, said
