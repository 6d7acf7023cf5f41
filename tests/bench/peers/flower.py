"""Flower's documented local deployment, without TLS: one SuperLink, four SuperNodes, ``flwr run``."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.peers import job
from tests.bench.peers.environments import HERE, Missing, environment, variables

PORT, NODE_PORT, UP_SECONDS, RUN_SECONDS = 18700, 18710, 90, 180
CONFIG = f"""[superlink]
default = "bench"

[superlink.bench]
address = "127.0.0.1:{PORT}"
insecure = true
"""


class Flower:
    """A deployment that is up."""

    def __init__(self, folder: Path, variables: dict[str, str]) -> None:
        self.folder, self.variables = folder, variables

    def fedavg(self) -> float:
        """Give the seconds of a job, from ``flwr run`` to the end of its server's program.

        Raises:
            Missing: it does not end.
        """
        finished = self.folder / "finished"
        finished.unlink(missing_ok=True)
        began = time.perf_counter()
        words = ["flwr", "run", self.folder / "app", "bench", "--run-config", f'finished="{finished}"']
        done = subprocess.run(words, env=self.variables, capture_output=True, text=True)
        while not finished.exists():
            if done.returncode or time.perf_counter() - began > RUN_SECONDS:
                raise Missing(f"Flower's job did not end: {done.stderr[-300:] or 'no word'}")
            time.sleep(0.02)
        return time.perf_counter() - began


@contextmanager
def deployed(folder: Path) -> Iterator[Flower]:
    """Start it, wait for all its nodes, and end it.

    Raises:
        Missing: it cannot be installed, or does not come up.
    """
    programs = environment("flower")
    found = {**variables(programs, folder), "FLWR_HOME": str(folder / "flwr")}
    (folder / "flwr").mkdir()
    (folder / "flwr" / "config.toml").write_text(CONFIG, encoding="utf-8")
    shutil.copytree(HERE / "flower_app", folder / "app")
    shutil.copy(HERE / "job.py", folder / "app")
    log = folder / "flower.log"
    with open(log, "w", encoding="utf-8") as out:
        parties = [_link(programs, found, out)]
        try:
            _wait(lambda: _listens(PORT), log)
            parties += [_node(programs, site, found, out) for site in range(job.SITES)]
            _wait(lambda: log.read_text(encoding="utf-8").count("[Fleet.ActivateNode]") >= job.SITES, log)
            yield Flower(folder, found)
        finally:
            for party in reversed(parties):
                party.terminate()
            for party in parties:
                party.wait(30)


def _link(programs: Path, variables: dict[str, str], out) -> subprocess.Popen:
    words = ["--insecure", "--host", "127.0.0.1", "--port", str(PORT)]
    program = [programs / "flower-superlink", "--disable-runtime-dependency-installation"]
    return subprocess.Popen([*program, *words], env=variables, stdout=out, stderr=out)


def _node(programs: Path, site: int, variables: dict[str, str], out) -> subprocess.Popen:
    words = ["--insecure", "--superlink", f"127.0.0.1:{PORT}", "--port", str(NODE_PORT + site)]
    program = [programs / "flower-supernode", "--node-config", f"site={site}"]
    return subprocess.Popen([*program, *words], env=variables, stdout=out, stderr=out)


def _listens(port: int) -> bool:
    with socket.socket() as attempt:
        return attempt.connect_ex(("127.0.0.1", port)) == 0


def _wait(up, log: Path) -> None:
    began = time.perf_counter()
    while not up():
        if time.perf_counter() - began > UP_SECONDS:
            raise Missing(f"Flower did not come up in {UP_SECONDS} s: {log.read_text()[-300:]}")
        time.sleep(0.1)
