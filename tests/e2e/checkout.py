"""A copy of this checkout, and Snakemake started in it as a user would, for tests of whole runs."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
COPIED = ("coordinator", "sites", "containers", "workflow", "config")


def copy_checkout(folder: Path) -> Path:
    """Copy what a run reads, so that a test may edit it."""
    for name in COPIED:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "Snakefile", folder)
    (folder / "profiles").symlink_to("workflow/profiles")
    return folder


def start(folder: Path, *command: str, **settings: str) -> subprocess.Popen[str]:
    """Start a command in a folder, with settings in its environment and none of the tests' own paths."""
    outside = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.Popen(
        command,
        cwd=folder,
        env=outside | settings,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def printed(process: subprocess.Popen[str], status: int = 0) -> str:
    """Wait for a command to end as expected; returns all it printed."""
    text, _ = process.communicate()
    assert process.returncode == status, text
    return text


def snakemake(folder: Path, *arguments: str) -> str:
    """Run Snakemake in a folder; returns all it printed."""
    return printed(start(folder, sys.executable, "-m", "snakemake", *arguments))


def make_run(folder: Path, study: str, status: int = 0) -> str:
    """Run what `make run` runs once the environment is there; returns all it printed."""
    return printed(start(folder, "workflow/run.sh", STUDY=study, CORES="2", PYTHON=sys.executable), status)


def planned(folder: Path, *arguments: str) -> set[str]:
    """List the jobs of a dry run, as "train breast_cancer/split/0" or "report"."""
    text = snakemake(folder, "-n", *arguments, "--quiet", "host")
    if "Nothing to be done" in text:
        return set()
    jobs = set()
    for block in re.split(r"\n(?=(?:local)?rule \w+:)", text):
        if rule := re.match(r"(?:local)?rule (\w+):", block):
            wildcards = re.search(r"^    wildcards: (.+)$", block, re.MULTILINE)
            values = [item.split("=", 1)[1] for item in wildcards[1].split(", ")] if wildcards else []
            jobs.add(f"{rule[1]} {'/'.join(values)}".strip())
    return jobs


def append(path: Path, text: str) -> None:
    """Edit a source file without changing what it does."""
    path.write_text(f"{path.read_text(encoding='utf-8')}{text}", encoding="utf-8")
