"""``make bench-study``: what the default study takes beyond its arithmetic; writes bench-study.json.

Its arithmetic is what the centralized arm's one process computes on the same records, for every arm: that
arm exchanges nothing between two steps. Attacks count as overhead, though they are arithmetic too; the row
says how long they took.
"""

import csv
import json
import os
import tempfile
import time
from pathlib import Path

from tests.bench.__main__ import show
from tests.bench.rows import Row
from tests.e2e.checkout import copy_checkout, snakemake

CORES, SECONDS_PER_RUN, SECONDS_BESIDE = 2, 2.0, 45.0


def main() -> None:
    """Run the study in a copy of this checkout, print the row, write the file."""
    with tempfile.TemporaryDirectory() as folder:
        copy = copy_checkout(Path(folder) / "checkout")
        began = time.perf_counter()
        snakemake(copy, "--cores", str(CORES))
        found = overhead(copy / "results" / "demo", time.perf_counter() - began)
    show([found])
    Path("bench-study.json").write_text(json.dumps([found], indent=1) + "\n", encoding="utf-8")


def overhead(results: Path, wall: float) -> Row:
    """Give the row ``default_study_overhead`` of a study that took so many seconds."""
    runs = len(list(results.glob("runs/*/*/*/weights.sha256")))
    arithmetic, attacks = of_training(results / "costs.csv"), of_jobs(results / "benchmarks" / "audit")
    ratio = (wall - arithmetic / CORES) / (SECONDS_PER_RUN * runs + SECONDS_BESIDE)
    load = os.getloadavg()[0]
    return {
        "name": "default_study_overhead", "ratio": ratio, "low": ratio, "high": ratio,
        "what": f"({wall:.0f} s of wall - {arithmetic:.0f} processor seconds of training on {CORES} cores) "
        f"over (2 s for each of {runs} runs + 45 s); attacks {attacks:.0f} processor seconds; load "
        f"{load:.1f}",
    }  # fmt: skip


def of_training(costs: Path) -> float:
    """Sum the centralized arms' processor seconds, once for every arm of the study."""
    arms, seconds = set(), 0.0
    with open(costs, encoding="utf-8", newline="") as table:
        for line in csv.DictReader(table):
            arms.add(line["strategy"])
            of_pool = line["strategy"] == "centralized" and line["party"] == "pooled"
            if of_pool and line["measure"] == "cpu_seconds":
                seconds += float(line["value"])
    return seconds * len(arms)


def of_jobs(benchmarks: Path) -> float:
    """Sum the processor seconds of a rule's jobs, as Snakemake measured them."""
    seconds = 0.0
    for path in benchmarks.rglob("*.tsv"):
        with open(path, encoding="utf-8", newline="") as table:
            seconds += sum(float(line["cpu_time"]) for line in csv.DictReader(table, delimiter="\t"))
    return seconds


if __name__ == "__main__":
    main()
