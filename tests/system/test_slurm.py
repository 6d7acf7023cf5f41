"""A study on a real cluster of two nodes: the same weights as on this machine."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from containers.runtimes import problem
from tests.conftest import ROOT, require
from tests.e2e.checkout import snakemake
from tests.slurm_cluster import cluster
from tests.system.test_walls import WEIGHTS, study

pytestmark = pytest.mark.timeout(1800)  # a hang, not slowness: a cluster is asked for its jobs' states slowly
PROFILE = ("--workflow-profile", "workflow/profiles/slurm")


@pytest.fixture
def slurm() -> Iterator[Path]:
    with cluster() as folder:
        yield folder


def test_a_study_on_a_cluster_gives_the_same_weights(
    slurm: Path, reference: Mapping[str, bytes], tmp_path: Path
) -> None:
    """In Apptainer's walls on the nodes, with nothing but what the profile says."""
    if found := problem("apptainer"):
        require("apptainer", found)
    study(tmp_path, "apptainer", rounds=2)
    for name in ("workflow", "profiles"):
        (tmp_path / name).symlink_to(ROOT / name)
    where = ("-s", str(ROOT / "Snakefile"), "--configfile", "config/study.yaml", *PROFILE)
    said = snakemake(tmp_path, *where, "--", *WEIGHTS)
    assert {name: (tmp_path / name).read_bytes() for name in WEIGHTS} == reference, said
    walls = json.loads((tmp_path / WEIGHTS[0]).with_name("isolation.json").read_text(encoding="utf-8"))
    assert walls["runtime"] == "apptainer"


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
        [*words, "--configfile", "config/study.yaml", "--", dealt],
        cwd=tmp_path, env=outside | settings, capture_output=True, text=True,
    )  # fmt: skip
    [log] = tmp_path.glob("suture-*.log")
    said = log.read_text(encoding="utf-8")
    assert submitted.returncode == 0, submitted.stderr + said
    assert (tmp_path / dealt / "north").is_dir()
    assert "has been submitted with SLURM jobid" in said, said
