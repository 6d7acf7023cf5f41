"""NVFlare's POC deployment: a server and four sites as processes over mutual TLS, jobs by its own API."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.peers import job
from tests.bench.peers.environments import HERE, Missing, environment, variables

ADMIN, JOB_SECONDS = "admin@nvidia.com", 180


class Flare:
    """A deployment that is up."""

    def __init__(self, folder: Path, variables: dict[str, str]) -> None:
        self.folder, self.variables = folder, variables

    def fedavg(self) -> float:
        """Give the seconds of a job, from its submission to its end."""
        return self._submit("fedavg")

    def exchange(self) -> dict[str, list[float]]:
        """Give the seconds of each exchange, by what is exchanged and how."""
        self._submit("exchange")
        return json.loads((self.folder / "found.json").read_text(encoding="utf-8"))

    def _submit(self, which: str) -> float:
        (kit,) = (self.folder / "poc").glob(f"*/prod_00/{ADMIN}")
        words = [HERE / "flare_app" / "submit.py", which, kit, self.folder / "found.json"]
        said = _run(["python", *words], self.variables)
        return float(said.rpartition("seconds ")[2])


@contextmanager
def deployed(folder: Path) -> Iterator[Flare]:
    """Provision and start it, wait for all its sites, and end it.

    Raises:
        Missing: it cannot be installed, or does not come up.
    """
    found = {**variables(environment("nvflare"), folder), "NVFLARE_POC_WORKSPACE": str(folder / "poc")}
    _run(["nvflare", "poc", "prepare", "-n", str(job.SITES), "--force"], found)
    try:
        _run(["nvflare", "poc", "start", "-ex", ADMIN, "--timeout", "90"], found)
        yield Flare(folder, found)
    finally:
        subprocess.run(["nvflare", "poc", "stop"], env=found, capture_output=True, timeout=JOB_SECONDS)


def _run(words: list, variables: dict[str, str]) -> str:
    began = time.perf_counter()
    try:
        done = subprocess.run(words, env=variables, capture_output=True, text=True, timeout=JOB_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise Missing(f"NVFlare did not answer in {JOB_SECONDS} s ({words[1]})") from error
    if done.returncode:
        raise Missing(f"NVFlare failed ({words[1]}): {(done.stderr or done.stdout)[-300:]}")
    print(f"  {words[0]} {words[1]}: {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    return done.stdout
