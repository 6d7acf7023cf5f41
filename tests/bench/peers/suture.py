"""The same job through Suture: the product's launcher over TCP and CURVE, and its exchange."""

import csv
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from coordinator.algorithms.tensors import sent
from coordinator.config import Model
from coordinator.protocol.messages import Activations, CutGradient
from coordinator.specs import Run
from tests.bench import split_step
from tests.bench.peers import job

ROOT = Path(__file__).resolve().parents[3]
SITES = tuple(f"site{i}" for i in range(job.SITES))
TRAINED = 0.5  # of a site's patients at least, after test, auxiliary and validation
COLUMNS = [f"x{i}" for i in range(job.FEATURES)]
STUDY = {
    "name": "peers", "title": "The common job", "seeds": [0], "runtime": "host", "reference": "fedavg",
    "release": "predictions", "allow_pooling": True,
    "sites": {name: {"name": name} for name in SITES},
    "tasks": {"job": {
        "data": {"source": "table", "path": "records.csv", "columns": {
            "patient": "patient", "site": "site", "label": "label", "numeric": COLUMNS}},
        "sites": list(SITES), "model": {"name": "mlp", "hidden": list(job.HIDDEN)},
        "cut": "layer1",
        "training": {"rounds": job.ROUNDS, "batch_size": job.BATCH, "optimizer": "adam",
                     "learning_rates": [job.RATE]},
    }},
    "strategies": {"fedavg": {}},
}  # fmt: skip


class Suture:
    """A study whose records are prepared, as the peers' are in memory."""

    def __init__(self, folder: Path) -> None:
        """Write the records and the study; prepare, agree; nothing of it is timed."""
        self.folder, self.runs = folder, 0
        _write_records(folder / "records.csv")
        study = folder / "study.yaml"
        study.write_text(json.dumps({**STUDY, "data_root": str(folder)}), encoding="utf-8")
        plan = folder / "plan.json"
        self._run("coordinator", "check", study, "--plan", plan)
        statistics = "results/peers/statistics/job/0/statistics.json"
        self._run("snakemake", "-s", ROOT / "Snakefile", "--configfile", study, "-c2", statistics)
        (run,) = json.loads(plan.read_text(encoding="utf-8"))["runs"].values()
        self._words = ["--spec", run["spec"], "--statistics", statistics, "--tcp", "--runtime", "host"]

    def fedavg(self) -> float:
        """Give the seconds of a job, from nothing to the end of its launcher."""
        self.runs += 1
        places = ["--state", f"state/{self.runs}", "--results", f"results/{self.runs}"]
        began = time.perf_counter()
        self._run("containers", "launch", *self._words, *places)
        return time.perf_counter() - began

    def _run(self, program: str, *words) -> None:
        found = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        found["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{found['PATH']}"
        command = [sys.executable, "-m", program, *map(str, words)]
        done = subprocess.run(command, cwd=self.folder, env=found, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{program} {words[0]} failed: {done.stderr[-1000:]}")


def _write_records(path: Path) -> None:
    with open(path, "w", newline="", encoding="utf-8") as out:
        table = csv.writer(out)
        table.writerow(["patient", "site", "label", *COLUMNS])
        for index, site in enumerate(SITES):
            inputs, labels = job.records(index)
            for number in range(math.ceil(job.RECORDS / TRAINED)):
                row = number % job.RECORDS
                values = (f"{value:.6f}" for value in inputs[row].tolist())
                table.writerow([f"{site}-{number}", site, int(labels[row]), *values])


def exchange_run() -> Run:
    """Describe a run whose activations at the cut are as large as what is exchanged."""
    width = job.EXCHANGED // 4 // split_step.BATCH
    model = Model(name="mlp", hidden=(width, split_step.HIDDEN))
    return split_step.a_run().model_copy(update={"model": model})


@contextmanager
def exchanging() -> Iterator[Callable[[int], list[float]]]:
    """Give exchanges(n), which does n exchanges without arithmetic: gate, ledger and all checks are on."""
    with tempfile.TemporaryDirectory() as folder:
        program = [sys.executable, "-m", "tests.bench.peers.suture"]
        channel, site = split_step.federation(Path(folder), exchange_run(), program)
        channel.admit()
        channel.welcome(split_step.COHORT.train)
        place, gradient = 0, torch.zeros(job.EXCHANGED // 4).view(split_step.BATCH, -1)

        def exchanges(count: int) -> list[float]:
            nonlocal place
            seconds = []
            for _ in range(count):
                place += 1
                began = time.perf_counter()
                channel.send(split_step.SITE, CutGradient((0, 0, 0, place), sent(gradient)))
                channel.receive(split_step.SITE, Activations, (0, 0, 0, place))
                seconds.append(time.perf_counter() - began)
            return seconds

        try:
            yield exchanges
        finally:
            site.kill()


def site_program(folder: Path, endpoint: str) -> None:
    """Be the site: answer every gradient with as many activations."""
    channel = split_step.enter(folder, endpoint, exchange_run())
    activations, place = torch.zeros(job.EXCHANGED // 4).view(split_step.BATCH, -1), 0
    while True:
        place += 1
        channel.receive(CutGradient, (0, 0, 0, place))
        channel.send(Activations((0, 0, 0, place), sent(activations), None))


if __name__ == "__main__":
    site_program(Path(sys.argv[1]), sys.argv[2])
