"""How near the network on paper comes to runs over an emulated one: ``make network``, about two minutes.

Real processes at real sockets; between each site and the coordinator a proxy that takes its time. Each
strategy runs once at full speed, which gives the seconds of work, and once over the slow lines. Work is taken
here by the wall's clock: what else the machine does slows down both runs.
"""

import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

from coordinator import specs
from coordinator.algorithms.cohort import Cohort
from coordinator.network import line_of, seconds_over
from coordinator.specs import Run
from coordinator.statistics import read_statistics
from tests.bench.slow_line import SlowLine
from tests.chaos.parties import Parties
from tests.chaos.plans import PARTIES, SITES
from tests.containers.gangs import wait_for
from tests.e2e.tiny_study import TASK, launch, prepare_table

STRATEGIES = ("fedavg", "split", "splitfed_v1", "split_parallel", "cyclic", "split_u", "split_private")
# Mbit/s up and down, and milliseconds one way
LINES = {"north": (4.0, 16.0, 20.0), "south": (1.0, 8.0, 40.0)}
NEAR = 0.15
OPTIONS = ("tasks.breast_cancer.training.rounds=5", "tasks.breast_cancer.model.hidden=[256, 64]")


def main() -> int:
    """Print each strategy's predicted and measured seconds; exit status 1 if one is more than 15 % off."""
    folder, far = Path(tempfile.mkdtemp(prefix="suture-network-")), 0
    plan = prepare_table(folder, *STRATEGIES, options=[f"--set={option}" for option in OPTIONS])
    launch(folder, plan["tasks"][TASK]["agree"]["0"]["spec"], "agree", statistics=None)
    statistics = folder / "results" / "agree" / "statistics.json"
    for name in STRATEGIES:
        spec = plan["runs"][f"{TASK}/{name}/0"]["spec"]
        fast, paid = carry_out(folder, folder / f"{name}-fast", spec, statistics, slow=False)
        slow, _ = carry_out(folder, folder / f"{name}-slow", spec, statistics, slow=True)
        found = predicted(specs.read(Run, folder / spec), statistics, paid)
        off = found / slow - 1
        far += abs(off) > NEAR
        words = f"predicted {found:6.2f} s, measured {slow:6.2f} s ({off:+.1%}); at full speed {fast:.2f} s"
        print(f"{name:15} {words}", flush=True)
    shutil.rmtree(folder)
    return int(far > 0)


def predicted(run: Run, statistics: Path, paid: dict[str, dict[str, float]]) -> float:
    """Walk the schedule over the lines on paper."""
    cohort = Cohort.of(read_statistics(statistics), run.sites)
    lines = [line_of(*LINES[site]) for site in run.sites]
    work = {party: each["seconds"] - each["waiting_seconds"] for party, each in paid.items()}
    return seconds_over(run, cohort, lines, [work[site] for site in run.sites], work["coordinator"])


def carry_out(
    folder: Path, place: Path, spec: str, statistics: Path, *, slow: bool
) -> tuple[float, dict[str, dict[str, float]]]:
    """Run a strategy; gives the seconds until its last round, and what each party paid."""
    parties = Parties(folder, place, spec, statistics)
    if slow:
        for site in SITES:
            parties.proxies[site].close()
            parties.proxies[site] = SlowLine(*line_of(*LINES[site]))
    try:
        for party in PARTIES:
            parties.start(party)
        wait_for(lambda: parties.ended() == list(PARTIES), seconds=300)
        out = place / "coordinator" / "out"
        rows = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
        return rows[-1]["seconds"], json.loads((out / "costs.json").read_text())
    finally:
        parties.close()
        time.sleep(0.2)


if __name__ == "__main__":
    sys.exit(main())
