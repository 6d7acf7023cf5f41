"""A long run of tiny batches by the real programs, and what memory each party takes as it goes on.

Each party's resident memory is sampled beside the steps done; after a warm-up the samples of the training are
averaged in blocks, and a line is laid through these. Exit status 1 where a slope is surely above `--most`
bytes a step. What is done once, after the last round, is printed beside it: the test's scores, and the
history and the ledger read back, which are as long as the run was.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
from scipy import stats

from tests.e2e.gang import pid_of
from tests.e2e.tiny_study import TASK, environment, launch, prepare_table

PARTIES = ("coordinator", "north", "south")
SECONDS = 0.2  # between two samples
WARM_UP, BLOCKS = 0.2, 20
PAGE = 4096


def resident(pid: int) -> int:
    """Give a process' resident bytes, 0: it is gone."""
    with suppress(OSError, IndexError):
        return PAGE * int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return 0


def slope(steps: np.ndarray, sizes: np.ndarray) -> tuple[float, float, float]:
    """Give bytes a step and its 95 % interval, of block means: neighbouring samples are alike."""
    kept = steps > WARM_UP * steps[-1]
    blocks = [(x.mean(), y.mean()) for x, y in zip(
        np.array_split(steps[kept], BLOCKS), np.array_split(sizes[kept], BLOCKS), strict=True
    )]  # fmt: skip
    found = stats.linregress(*np.array(blocks).T)
    half = stats.t.ppf(0.975, BLOCKS - 2) * found.stderr
    return found.slope, found.slope - half, found.slope + half


def planned(folder: Path, steps: int, options: list[str]) -> tuple[str, int, int]:
    """Prepare a study whose split run has about so many steps; give its spec, rounds and steps a round."""
    few = f"tasks.{TASK}.training"
    sizes = [f"{few}.batch_size=8", f"{few}.learning_rates=[0.001]", *options]
    plan = prepare_table(folder, options=[f"--set={each}" for each in sizes])
    launch(folder, plan["tasks"][TASK]["agree"]["0"]["spec"], "agree", statistics=None)
    statistics = json.loads((folder / "results/agree/statistics.json").read_text())
    each = sum(-(-site["train"] // 8) for site in statistics["sites"].values())
    rounds = max(1, steps // each)
    plan = prepare_table(folder, options=[f"--set={o}" for o in (*sizes, f"{few}.rounds={rounds}")])
    return plan["runs"][f"{TASK}/split/0"]["spec"], rounds, each


def sampled(folder: Path, launcher: "subprocess.Popen[bytes]", each: int) -> dict[str, list[tuple[int, int]]]:
    """Sample until the run ends: by party, steps done and bytes resident."""
    found: dict[str, list[tuple[int, int]]] = {party: [] for party in PARTIES}
    status, pids, told = folder / "state/soak/coordinator/status.json", dict[str, int](), 0
    while launcher.poll() is None:
        time.sleep(SECONDS)
        if not status.exists():
            continue
        steps = json.loads(status.read_text())["round"] * each
        for party in PARTIES:
            pids[party] = pids.get(party) or pid_of(folder, "soak/" + party)
            if size := resident(pids[party]):
                found[party].append((steps, size))
        if steps >= told + 20_000:
            told = steps
            print(
                f"{steps} steps",
                {p: f"{rows[-1][1] / 2**20:.1f} MiB" for p, rows in found.items()},
                flush=True,
            )
    return found


def main() -> int:
    """Run, and print a row for each party."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--most", type=float, default=10.0, help="bytes a step")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="options")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="suture-soak-"))
    spec, rounds, each = planned(folder, options.steps, options.options)
    began, words = time.monotonic(), ["--state", folder / "state/soak", "--results", "results/soak"]
    words = ["--spec", spec, "--statistics", "results/agree/statistics.json", *words]
    launcher = subprocess.Popen(
        [sys.executable, "-m", "containers", "launch", *map(str, words)], cwd=folder, env=environment(folder),
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    found = sampled(folder, launcher, each)
    if launcher.returncode:
        print(f"the run failed; its logs are in {folder}")
        return 1
    print(f"{rounds * each} steps, {rounds} rounds with a commit each, {time.monotonic() - began:.0f} s")
    grown = False
    for party, rows in found.items():
        steps, sizes = np.array(rows, dtype=float).T
        after = steps >= rounds * each
        ending = (
            f"{sizes[after].max() / 2**20:.1f} at most after it" if after.any() else "nothing seen after it"
        )
        steps, sizes = steps[~after], sizes[~after]
        per_step, low, high = slope(steps, sizes)
        grown |= low > options.most
        first, last = sizes[steps > WARM_UP * steps[-1]][0] / 2**20, sizes[-1] / 2**20
        print(
            f"{party}: {first:.1f} MiB after the warm-up, {last:.1f} when training ended, {ending}; "
            f"{per_step:+.2f} bytes a step (95 %: {low:+.2f} to {high:+.2f})"
        )
    shutil.rmtree(folder)
    return int(grown)


if __name__ == "__main__":
    raise SystemExit(main())
