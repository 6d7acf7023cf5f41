"""One run of many sites of which a third are killed at random, and started again; ``make chaos-many``.

The launcher starts each again, the run goes on, and ends with the weights of an undisturbed one.
"""

import argparse
import os
import signal
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import numpy as np

from coordinator.draws import key
from tests.e2e.gang import begin, pid_of
from tests.e2e.tiny_study import TASK, launch, prepare_table

STATISTICS = "results/agree/statistics.json"
BETWEEN_SECONDS = (0.5, 3.0)


def main() -> int:
    """Run, kill, compare; 1 where the weights differ or the run did not end well."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.many", description=__doc__)
    parser.add_argument("--sites", type=int, default=50)
    parser.add_argument("--strategy", default="fedavg")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="suture-many-"))
    options = (
        f"--set=tasks.{TASK}.sites={given.sites}", f"--set=tasks.{TASK}.training.rounds={given.rounds}",
        "--set=min_patients=1", "--set=min_cell=1", "--set=on_loss.minutes=5",
    )  # fmt: skip
    plan = prepare_table(folder, given.strategy, options=options)
    launch(folder, plan["tasks"][TASK]["agree"]["0"]["spec"], "agree", statistics=None)
    run = f"{TASK}/{given.strategy}/0"
    launch(folder, plan["runs"][run]["spec"], "undisturbed", statistics=STATISTICS)
    killed = disturb(folder, run, list(plan["tasks"][TASK]["sites"]), given.seed)
    results = folder / "place" / "results"
    same = (results / "weights.sha256").read_text() == (
        folder / "results" / "undisturbed" / "weights.sha256"
    ).read_text()
    went_back = len((results / "interruptions.jsonl").read_text().splitlines())
    print(f"{given.sites} sites, {killed} killed and started again, {went_back} times back to a commit; "
          f"{'the same weights' if same else 'OTHER WEIGHTS'} as undisturbed")  # fmt: skip
    return 0 if same else 1


def disturb(folder: Path, run: str, sites: list[str], seed: int) -> int:
    """Start the run, and kill a third of its sites one after the other while it goes on; give how many."""
    draws = np.random.default_rng(key(seed, "many"))
    victims = [sites[int(place)] for place in draws.permutation(len(sites))[: -(-len(sites) // 3)]]
    launcher = begin(folder, folder / "place", run, STATISTICS)
    commits, killed = folder / "place" / "state" / "coordinator" / "commits", 0
    while launcher.poll() is None and not any(commits.glob("0*")):
        time.sleep(0.2)
    for victim in victims:
        time.sleep(float(draws.uniform(*BETWEEN_SECONDS)))
        if launcher.poll() is None and (process := pid_of(folder / "place", victim)):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
                killed += 1
    said = launcher.communicate()[1]
    if launcher.returncode:
        raise SystemExit(f"the run ended with {launcher.returncode}: {said[-2000:]}")
    return killed


if __name__ == "__main__":
    raise SystemExit(main())
