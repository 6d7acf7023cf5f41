"""Holds attacks against their references on the settings of ``config/studies/attack_references.yaml``.

``make references`` runs that study and prints what each attack reached; it fails where one that the catalog
calls validated misses. References and tolerances are those of the study's head.
"""

import csv
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from coordinator.attacks.catalog import is_validated

ROOT = Path(__file__).resolve().parents[2]
STUDY = "config/studies/attack_references.yaml"


class Reference(NamedTuple):
    """Where an attack is measured, by what, its source's result and how far below it may fall."""

    attack: str
    task: str
    target: str
    measure: str
    reported: float
    tolerance: float


REFERENCES = (
    Reference("tableak", "heart", "table from a gradient of 8", "features_recovered", 0.95, 0.05),
    Reference("unsplit_labels", "breast_cancer", "labels from gradients", "accuracy", 1.00, 0.05),
    Reference("pseudo_client", "breast_cancer", "labels of test records", "accuracy", 0.93, 0.05),
    Reference("decoder", "radiographs", "image", "psnr", 38.0, 3.0),
    Reference("decoder", "radiographs", "image", "ssim", 0.99, 0.05),
    Reference("white_box", "radiographs", "image", "psnr", 38.0, 3.0),
    Reference("white_box", "radiographs", "image", "ssim", 0.99, 0.05),
)


def missed(found: dict[tuple[str, str, str, str], float]) -> list[Reference]:
    """Print every attack beside its reference; give those that are called validated and are not."""
    wrong = []
    for each in REFERENCES:
        value = found[each.task, each.attack, each.target, each.measure]
        reached, called = value >= each.reported - each.tolerance, is_validated(each.attack, each.target)
        print(
            f"{each.attack:15} {each.measure:20} {value:7.3f} (reported {each.reported:g}, tolerance "
            f"{each.tolerance:g}): {'reached' if reached else 'missed'}, called "
            f"{'validated' if called else 'not validated'}"
        )
        wrong += [each] if called and not reached else []
    return wrong


def read(results: Path) -> dict[tuple[str, str, str, str], float]:
    """Read what the audits found, by task, attack, target and measure."""
    found = {}
    for path in sorted(results.glob("audit/*/0/privacy.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                key = (row["task"], row["attack"], row["target"], row["measure"])
                found[key] = float(row["value"])
    return found


def main() -> int:
    """Run the study's audits, and compare."""
    tasks = dict.fromkeys(each.task for each in REFERENCES)
    targets = [f"results/attack_references/audit/{task}/0/privacy.csv" for task in tasks]
    root = os.environ.get("SUTURE_DATA_ROOT", "data")
    command = [
        sys.executable, "-m", "snakemake", "--configfile", STUDY, "--config", f"data_root={root}", "--",
        *targets,
    ]  # fmt: skip
    subprocess.run(command, cwd=ROOT, check=True)
    return 1 if missed(read(ROOT / "results" / "attack_references")) else 0


if __name__ == "__main__":
    raise SystemExit(main())
