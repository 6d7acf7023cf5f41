"""Reports of small finished studies, and a browser that opens them."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from coordinator.command_line import main
from coordinator.comparison.tables import COLUMNS
from tests.conftest import require
from tests.federated_results import write_federated_study
from tests.synthetic_results import study, write_study

SCRIPT = Path(__file__).resolve().parents[2] / "workflow" / "scripts" / "report.py"
COMMANDS = {"evaluate": ("coordinator.comparison.evaluate", "compare")}
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FOUND = [
    "{},split,{},decoder,table,features_recovered,0.81,0.26,0.78,0.83,12,curious_coordinator",
    "{},split_deep,{},decoder,table,features_recovered,0.61,0.26,0.58,0.63,12,curious_coordinator",
    "{},fedavg,{},tableak,table from an update,features_recovered,0.31,0.29,0.28,0.33,12,curious_coordinator",
]
QUIET = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--enable-logging=stderr", "--v=0",
]  # fmt: skip


@pytest.fixture(scope="session")
def browser() -> str:
    """Find a browser."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        require("browser", "chromium is not installed; apt-get install chromium")
    assert found
    return found


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Report a study that released its scores."""
    return reported(*write_study(tmp_path_factory.mktemp("study")))


@pytest.fixture(scope="session")
def federated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Report a study whose scores stayed, with two cuts, two numbers of sites, attacks and a network."""
    task = json.loads(study().tasks["tumour"].model_dump_json())
    spec, folder = write_federated_study(
        tmp_path_factory.mktemp("federated"), bootstrap=100, audit="small",
        tasks={"tumour": task, "fewer": {**task, "sites": task["sites"][:2]}},
        strategies={"centralized": {}, "local": {}, "fedavg": {}, "split": {}, "split_u": {},
                    "split_deep": {"preset": "split", "cut": "layer2"}},
        network={"every": {"latency_ms": 50.0}},
    )  # fmt: skip
    for path in (folder / "audit" / task / str(seed) for task in ("tumour", "fewer") for seed in (0, 1)):
        path.mkdir(parents=True)
        text = "\n".join([COLUMNS["privacy.csv"], *(row.format(*path.parts[-2:]) for row in FOUND), ""])
        (path / "privacy.csv").write_text(text, encoding="utf-8")
    return reported(spec, folder)


def reported(spec: Path, folder: Path) -> Path:
    """Evaluate a finished study and draw its page."""
    assert main("coordinator", COMMANDS, ["evaluate", "--spec", str(spec), "--results", str(folder)]) == 0
    command = [sys.executable, str(SCRIPT), "--results", str(folder), "--out", str(folder / "report.html")]
    subprocess.run(command, check=True)
    return folder


def look(browser: str, page: Path, profile: Path, *options: str) -> tuple[str, list[str]]:
    """Open a page; returns the rendered document and what the console said."""
    command = [browser, *QUIET, f"--user-data-dir={profile}", *options, "--dump-dom", page.as_uri()]
    seen = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return seen.stdout, [line for line in seen.stderr.splitlines() if "CONSOLE" in line]
