"""A big model and a big pass of activations through the real programs, and what each party's memory rises to.

Prints each party's peak beside the most that `docs/protocol.md` (section 3) says; exit status 1 where one
takes more. Plain SGD, one round, one site or `--sites`; a model of 2 GiB takes 14 GiB under `fedavg`, of both
parties.
"""

import argparse
import json
import shutil
import tempfile
import time
from math import isqrt
from pathlib import Path

from coordinator.protocol.codec import CHUNK_BYTES
from coordinator.protocol.credit import ROOM_BYTES, WINDOW
from tests.e2e.tiny_study import TASK, launch, prepare_table

SITE, COORDINATOR = "site", "coordinator"
MIB = 2**20
BASE = {COORDINATOR: 300 * MIB, SITE: 400 * MIB}  # the programs alone, and the tables of a small study
WIDEST, RECORDS = 65536, 2200  # of which a training batch is 1024
# cases: strategy -> how often each party's memory holds the model's (or the pass') bytes
CASES = {
    "fedavg": {COORDINATOR: 6, SITE: 5},
    "split": {COORDINATOR: 4, SITE: 1},
    "activations": {COORDINATOR: 4, SITE: 4},
}
TABLE = "{source: network, records: %d, pixels: 16, step_hours: 8.0, modalities: [table]}"


def settings(case: str, megabytes: int, sites: int) -> tuple[str, list[str], int]:
    """Give a case's strategy, its study's settings, and the bytes that its formula counts in."""
    few = f"tasks.{TASK}"
    wide = isqrt(megabytes * MIB // 4)
    strategy, hidden, batch, data = case, f"{wide}, {wide}", 512, "{source: breast_cancer}"
    counted = 4 * wide * wide
    if case == "activations":
        strategy, hidden, batch, data = "split", f"{WIDEST}, 16", 1024, TABLE % RECORDS
        counted = 4 * WIDEST * batch
    training = f"{{rounds: 1, batch_size: {batch}, learning_rates: [0.01], optimizer: sgd}}"
    words = [f"model={{name: mlp, hidden: [{hidden}]}}", "cut=layer1", f"training={training}"]
    return strategy, [f"{few}.{each}" for each in (*words, f"sites={sites}", f"data={data}")], counted


def peaks(case: str, megabytes: int, sites: int) -> dict[str, tuple[float, float]]:
    """Run a case; give each party's peak and the most it may take, in bytes."""
    folder = Path(tempfile.mkdtemp(prefix="suture-big-"))
    strategy, words, counted = settings(case, megabytes, sites)
    options = [f"--set={each}" for each in (*words, "min_patients=1", "min_cell=1")]
    plan = prepare_table(folder, strategy, options=options)
    launch(folder, plan["tasks"][TASK]["agree"]["0"]["spec"], "agree", statistics=None)
    began, agreed = time.monotonic(), folder / "results/agree/statistics.json"
    launch(folder, plan["runs"][f"{TASK}/{strategy}/0"]["spec"], "run", statistics=agreed)
    costs = json.loads((folder / "results/run/costs.json").read_text())
    shutil.rmtree(folder)
    up = costs[plan["tasks"][TASK]["sites"][0]]["bytes_up"] / MIB
    print(f"{case}: {counted / MIB:.0f} MiB, {up:.0f} MiB up, {time.monotonic() - began:.0f} s", flush=True)
    times = CASES[case]
    return {
        party: (
            costs[party]["peak_memory"],
            BASE[COORDINATOR] + times[COORDINATOR] * counted + waiting(case, counted, sites)
            if party == COORDINATOR
            else BASE[SITE] + times[SITE] * counted,
        )
        for party in (COORDINATOR, *plan["tasks"][TASK]["sites"])
    }


def waiting(case: str, counted: int, sites: int) -> float:
    """Give what of the other sites' models and activations may lie at the coordinator, in bytes."""
    if case != "fedavg":
        return (sites - 1) * counted  # validation activations are short messages
    return min((sites - 1) * counted, ROOM_BYTES + sites * WINDOW * CHUNK_BYTES)


def main() -> int:
    """Run the cases, and print a row for each party."""
    parser = argparse.ArgumentParser(prog="python -m tests.big", description=__doc__)
    parser.add_argument("--megabytes", type=int, default=2048, help="of the model")
    parser.add_argument("--sites", type=int, default=1)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    options = parser.parse_args()
    over = False
    for case in options.cases:
        for party, (peak, most) in peaks(case, options.megabytes, options.sites).items():
            over |= peak > most
            print(f"  {party}: {peak / MIB:.0f} MiB at most, {most / MIB:.0f} by the formula", flush=True)
    return int(over)


if __name__ == "__main__":
    raise SystemExit(main())
