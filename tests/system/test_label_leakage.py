"""The attacks called validated reach their reference on the setting that was fixed before they were run."""

import csv
from pathlib import Path

import pytest

from coordinator.attacks.catalog import ATTACKS, ON_LABEL_LEAKAGE
from tests.e2e.checkout import copy_checkout, snakemake

pytestmark = pytest.mark.timeout(1800)  # a hang, not slowness: this trains on real data
TABLE = "results/label_leakage/audit/mortality/0/privacy.csv"
LEAST = 0.90  # Li 2022: .95 to 1.00; five points are the tolerance


def test_gradients_of_an_imbalanced_outcome_tell_the_labels(tmp_path: Path, data_root: Path) -> None:
    folder = copy_checkout(tmp_path / "checkout")
    where = ["--configfile", "config/studies/label_leakage.yaml", "--config", f"data_root={data_root}"]
    snakemake(folder, *where, "--", TABLE)
    with (folder / TABLE).open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["measure"] == "auroc"]
    found = {row["attack"]: float(row["value"]) for row in rows}
    validated = [name for name, attack in ATTACKS.items() if attack.validation == ON_LABEL_LEAKAGE]
    assert validated
    assert all(found[name] >= LEAST for name in validated)
