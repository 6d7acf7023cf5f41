"""``python -m tests.bench.preparation STUDY...``: from a study's raw files to prepared, each job by itself.

Prints, per site and for the whole, wall seconds, processor seconds and the largest memory of a process.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[2]


class Spent(NamedTuple):
    """What a job took: seconds, processor seconds, bytes."""

    job: str
    seconds: float
    cpu_seconds: float
    peak_memory: int


def main(studies: list[str]) -> int:
    """Measure each study; returns 2 where one cannot be run."""
    console = Console()
    for study in studies:
        with tempfile.TemporaryDirectory() as folder:
            plan = planned(ROOT / study, Path(folder))
            if plan is None:
                return 2
            for task, found in plan["tasks"].items():
                console.print(table_of(f"{plan['study']}, {task}", list(measured(found, Path(folder)))))
    return 0


def planned(study: Path, folder: Path) -> dict | None:
    """Resolve a study, its specs written under `folder`; the validator says what is wrong."""
    path = folder / "plan.json"
    check = [sys.executable, "-m", "coordinator", "check", str(study), "--plan", str(path)]
    done = subprocess.run(check, cwd=folder, stdout=subprocess.DEVNULL)
    return json.loads(path.read_text(encoding="utf-8")) if done.returncode == 0 else None


def measured(task: dict, folder: Path):
    """Run a task's deal and preparations, one after the other."""
    deal = task["deal"]
    if deal:
        yield spent("deal", ["deal", "--spec", deal["spec"], "--out", deal["folder"]], folder)
    for name, site in task["prepare"].items():
        raw = str(Path(deal["folder"], name)) if deal else site["input"]
        paths = ["--spec", site["spec"], "--input", raw, "--out", site["folder"]]
        yield spent(name, ["prepare", *paths], folder)


def spent(job: str, arguments: list[str], folder: Path) -> Spent:
    """Run one command of the sites' program, and say what it took."""
    began = time.perf_counter()
    child = subprocess.Popen([sys.executable, "-m", "sites", *arguments], cwd=folder)
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"{job}: {' '.join(arguments)} failed")
    cpu = usage.ru_utime + usage.ru_stime
    return Spent(job, time.perf_counter() - began, cpu, usage.ru_maxrss * 1024)


def table_of(title: str, jobs: list[Spent]) -> Table:
    """Lay the jobs out, with their sum (and the largest memory)."""
    table = Table("job", "seconds", "CPU seconds", "peak memory, MiB", title=title)
    total = Spent("all", *(sum(job[i] for job in jobs) for i in (1, 2)), max(job.peak_memory for job in jobs))
    for job in (*jobs, total):
        cells = f"{job.seconds:.1f}", f"{job.cpu_seconds:.1f}", f"{job.peak_memory / 2**20:.0f}"
        table.add_row(job.job, *cells)
    return table


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or ["config/config.yaml"]))
