"""The ci study's table, prepared by real commands, and its gangs launched one by one."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
TASK = "breast_cancer"


def command(*words):
    """Give the command line of a program of ours."""
    return [sys.executable, "-m", *map(str, words)]


def environment(folder):
    """Show a program this checkout, after what the study's own `seen` folder puts into every start."""
    paths = f"{folder / 'seen'}{os.pathsep}{ROOT}"
    return {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "SUTURE_RUNTIME": "host"}


def run_command(folder, *words):
    """Run a program of ours in the study's folder."""
    done = subprocess.run(
        command(*words), cwd=folder, env=environment(folder), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def prepare_table(folder, *strategies, options=(), settings=None):
    """Plan the ci study with these strategies beside its own, and prepare its table; gives the plan."""
    more = [*options, *(f"--set=strategies.{name}={(settings or {}).get(name, '{}')}" for name in strategies)]
    run_command(folder, "coordinator", "check", ROOT / "config/studies/ci.yaml", *more, "--plan", "plan.json")
    plan = json.loads((folder / "plan.json").read_text())
    task = plan["tasks"][TASK]
    run_command(folder, "sites", "deal", "--spec", task["deal"]["spec"], "--out", task["deal"]["folder"])
    for site, job in task["prepare"].items():
        raw = Path(task["deal"]["folder"]) / site
        run_command(folder, "sites", "prepare", "--spec", job["spec"], "--input", raw, "--out", job["folder"])
    return plan


def launch(folder, spec, name, *options, statistics):
    """Launch a gang of real processes; its results lie under results/NAME."""
    given = ["--statistics", statistics] if statistics else []
    where = ["--state", f"state/{name}", "--results", f"results/{name}"]
    run_command(folder, "containers", "launch", "--spec", spec, *given, *where, *options)
