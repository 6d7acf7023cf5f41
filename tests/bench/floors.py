"""``python -m tests.bench.floors``: what the centralized arm must reach on real data.

So a broken feature pipeline cannot hide. Runs each study's centralized arm with three seeds, by the real
workflow.
"""

import csv
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import mean
from typing import NamedTuple

import yaml
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[2]


class Floor(NamedTuple):
    """The least mean AUROC over seeds, all sites' test records together."""

    study: str
    task: str
    auroc: float


FLOORS = (
    Floor("eicu", "mortality", 0.78),
    Floor("eicu_hourly", "mortality", 0.72),
    Floor("pneumonia", "pneumonia", 0.93),
    Floor("physionet2012", "mortality", 0.82),
    Floor("ham10000", "melanoma", 0.80),
)


def main(wanted: list[str]) -> int:
    """Train, print and judge; returns 1 where a floor is missed."""
    rows, table = [], Table("study", "task", "AUROC of each seed", "mean", "floor", "reached")
    for floor in FLOORS:
        if wanted and floor.study not in wanted:
            continue
        found = trained(floor)
        rows.append(mean(found) >= floor.auroc)
        seeds = " ".join(f"{value:.4f}" for value in found)
        table.add_row(floor.study, floor.task, seeds, f"{mean(found):.4f}", f"{floor.auroc}", str(rows[-1]))
    Console().print(table)
    return 0 if all(rows) else 1


def trained(floor: Floor) -> list[float]:
    """Run the study's centralized arm on one task, and read its AUROCs by seed."""
    study = yaml.safe_load((ROOT / "config" / "studies" / f"{floor.study}.yaml").read_text(encoding="utf-8"))
    study |= {
        "seeds": [0, 1, 2], "strategies": {"centralized": {}}, "reference": "centralized", "bootstrap": 200,
        "tasks": {floor.task: study["tasks"][floor.task]},
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "config")
        config.mkdir()
        (config / "sites").symlink_to(ROOT / "config" / "sites")
        (config / "study.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")
        where = ["-s", str(ROOT / "Snakefile"), "--configfile", str(config / "study.yaml"), "--quiet", "all"]
        command = [sys.executable, "-m", "snakemake", "--cores", "all", *where]
        subprocess.run(command, cwd=folder, check=True, env={**os.environ, "SUTURE_HOLDS_FOLDER": "1"})
        path = Path(folder, "results", study["name"], "comparison.csv")
        with path.open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.DictReader(file) if (row["site"], row["metric"]) == ("all", "auroc")]
    return [float(row["value"]) for row in rows]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
