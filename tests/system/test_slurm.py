"""A study on a real cluster of two nodes: the same weights as on this machine."""

import json
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
def slurm():
    with cluster() as folder:
        yield folder


def test_a_study_on_a_cluster_gives_the_same_weights(slurm: Path, tmp_path: Path) -> None:
    """In Apptainer's walls on both nodes, with nothing but what the profile says."""
    if found := problem("apptainer"):
        require("apptainer", found)
    on_cluster, here = tmp_path / "cluster", tmp_path / "here"
    study(on_cluster, "apptainer", rounds=2)
    for name in ("workflow", "profiles"):
        (on_cluster / name).symlink_to(ROOT / name)
    said = snakemake(on_cluster, "-s", str(ROOT / "Snakefile"), "--configfile", "config/study.yaml", *PROFILE)
    snakemake(here, *study(here, "host", rounds=2), "--", *WEIGHTS)
    for name in WEIGHTS:
        assert (on_cluster / name).read_bytes() == (here / name).read_bytes(), said
    walls = json.loads((on_cluster / WEIGHTS[0]).with_name("isolation.json").read_text(encoding="utf-8"))
    assert walls["runtime"] == "apptainer"
    assert (on_cluster / "results" / "ci" / "report.html").is_file()
