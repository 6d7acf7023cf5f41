"""A big model, and a big pass of activations, through the real programs: what each party's memory rises to.

Prints each party's peak beside what `docs/protocol.md` says it may take; exit status 1 where one takes more.
"""

import argparse
import json
import shutil
import tempfile
import time
from pathlib import Path

from tests.e2e.tiny_study import TASK, launch, prepare_table

SITE = "north"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.big", description=__doc__)
    parser.add_argument("--strategy", default="fedavg")
    parser.add_argument("--hidden", default="8192,8192")
    parser.add_argument("--cut", default="layer1")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="options")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="suture-big-"))
    few = f"tasks.{TASK}"
    sizes = [
        f"{few}.model={{name: mlp, hidden: [{options.hidden}]}}",
        f"{few}.cut={options.cut}",
        f"{few}.training={{rounds: 1, batch_size: 512, learning_rates: [0.01], optimizer: sgd}}",
        f"{few}.sites=[{SITE}]",
        f"{few}.data={{source: breast_cancer}}",
        *options.options,
    ]
    plan = prepare_table(folder, options.strategy, options=[f"--set={each}" for each in sizes])
    launch(folder, plan["tasks"][TASK]["agree"]["0"]["spec"], "agree", statistics=None)
    began = time.monotonic()
    launch(
        folder,
        plan["runs"][f"{TASK}/{options.strategy}/0"]["spec"],
        "run",
        statistics=folder / "results/agree/statistics.json",
    )
    costs = json.loads((folder / "results/run/costs.json").read_text())
    print(f"{time.monotonic() - began:.0f} s")
    for party, each in costs.items():
        print(
            party,
            {
                k: v
                for k, v in each.items()
                if k in ("peak_memory", "bytes_up", "bytes_down", "parameters", "seconds", "steps")
            }
            if isinstance(each, dict)
            else each,
        )
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
