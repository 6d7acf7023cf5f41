"""The real multi-hospital study: what its arms must reach on the frozen test patients."""

import csv
from pathlib import Path
from statistics import mean

import pytest
import yaml

from tests.e2e.checkout import snakemake

pytestmark = pytest.mark.timeout(1800)  # a hang, not slowness: this runs a whole study

ROOT = Path(__file__).resolve().parents[2]
STRATEGIES = ("centralized", "split")


def test_split_predicts_heart_disease_as_well_as_centralized(tmp_path: Path, data_root: Path) -> None:
    study = yaml.safe_load((ROOT / "config" / "studies" / "heart.yaml").read_text(encoding="utf-8"))
    study |= {"strategies": {name: {} for name in STRATEGIES}, "bootstrap": 200}
    config = tmp_path / "config"
    config.mkdir()
    (config / "sites").symlink_to(ROOT / "config" / "sites")
    (config / "heart.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")
    where = ["-s", str(ROOT / "Snakefile"), "--cores", "all", "--config", f"data_root={data_root}"]
    snakemake(tmp_path, *where, "--configfile", str(config / "heart.yaml"))

    auroc: dict[str, list[float]] = {name: [] for name in STRATEGIES}
    for row in read(tmp_path / "results" / "heart" / "comparison.csv"):
        if (row["site"], row["metric"]) == ("all", "auroc"):
            auroc[row["strategy"]].append(float(row["value"]))
    assert [len(values) for values in auroc.values()] == [len(study["seeds"])] * 2
    assert mean(auroc["centralized"]) >= 0.86
    assert abs(mean(auroc["split"]) - mean(auroc["centralized"])) <= 0.01


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
