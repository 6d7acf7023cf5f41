"""Every strategy by real processes, in one study: all end, and those that are one result are one."""

import csv
from pathlib import Path

import pytest
import yaml

from coordinator.presets import PRESETS
from tests.e2e.checkout import snakemake

pytestmark = pytest.mark.timeout(1800)  # a hang, not slowness: this runs a whole study

ROOT = Path(__file__).resolve().parents[2]
# what is one result by construction, in this study: the first of each is run first
TWINS = {("split", "cyclic"), ("split_u", "cyclic"), ("fedavg", "splitfed_v1")}


def test_every_strategy_ends_in_the_report(tmp_path: Path) -> None:
    study = yaml.safe_load((ROOT / "config" / "studies" / "strategies.yaml").read_text(encoding="utf-8"))
    assert {entry.get("preset", name) for name, entry in study["strategies"].items()} == set(PRESETS)
    study |= {"seeds": [0], "bootstrap": 200}
    training = study["tasks"]["breast_cancer"]["training"]
    training |= {"rounds": 2, "learning_rates": [0.01]}
    for entry in study["strategies"].values():
        entry.get("training", {}).pop("learning_rates", None)
    config = tmp_path / "config"
    config.mkdir()
    (config / "sites").symlink_to(ROOT / "config" / "sites")
    (config / "study.yaml").write_text(yaml.safe_dump(study, sort_keys=False), encoding="utf-8")
    where = ["-s", str(ROOT / "Snakefile"), "--configfile", str(config / "study.yaml"), "--cores", "all"]
    said = snakemake(tmp_path, *where, "--verbose")

    # Snakemake looks at the jobs when one ended, not by the clock
    assert 0 < said.count("Ready jobs:") <= 2 * said.count("Finished jobid:")
    results = tmp_path / "results" / "strategies"
    found = {
        row["strategy"]: float(row["value"])
        for row in read(results / "comparison.csv")
        if (row["site"], row["metric"]) == ("all", "auroc")
    }
    assert set(found) == set(study["strategies"])
    assert all(0 < value <= 1 for value in found.values())
    twins = {
        (row["strategy"], row["reference"])
        for row in read(results / "differences.csv")
        if row["verdict"] == "identical"
    }
    assert twins == TWINS
    adapted = {row["strategy"] for row in read(results / "variants.csv") if row["adapt"] != "0"}
    assert adapted == {name for name in study["strategies"] if name.endswith("_adapted")}
    page = (results / "report.html").read_text(encoding="utf-8")
    assert all(name in page for name in study["strategies"])


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
