"""``python -m tests.bench.peers [NVFlare] [Flower]``: the same work through each and Suture, in turn.

Writes bench-peers.json. A peer's deployment is up before its clock starts; Suture's
clock runs from nothing, its processes' start included. A peer that cannot be installed or does not come up is
left out with a word.
"""

import json
import statistics
import sys
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from tests.bench import split_step
from tests.bench.__main__ import show
from tests.bench.peers import flare, flower
from tests.bench.peers.environments import Missing
from tests.bench.peers.suture import Suture, exchanging
from tests.bench.rows import Row, row

REPETITIONS, EXCHANGES = 3, 300
WAYS = {
    "nvflare_over_suture_exchange": ("tensor", "64 KiB each way as a tensor, NVFlare's Collab API"),
    "nvflare_over_suture_exchange_array": ("array", "64 KiB each way as a NumPy array, Collab API"),
    "nvflare_over_suture_exchange_auxiliary": ("auxiliary", "64 KiB each way as an array, auxiliary channel"),
    "nvflare_over_suture_exchange_bytes": ("bytes", "64 KiB each way as bare bytes, Collab API"),
}


def main(wanted: list[str]) -> None:
    """Measure what can be measured here, print the table, write the file."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        ours = Suture(_made(folder, "suture"))
        for name in wanted or PEERS:
            deployed, measured = PEERS[name]
            try:
                with deployed(_made(folder, name)) as peer:
                    rows += measured(peer, ours)
            except Missing as missing:
                print(f"{name} is left out: {missing}", file=sys.stderr)
    show(rows)
    Path("bench-peers.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def _made(folder: str, name: str) -> Path:
    place = Path(folder) / name.lower()
    place.mkdir()
    return place


def of_flare(peer: flare.Flare, ours: Suture) -> list[Row]:
    """Give the rows of NVFlare."""
    rows = of_exchanges(peer)
    pairs = [(peer.fedavg(), ours.fedavg()) for _ in range(REPETITIONS)]
    return [*rows, of_fedavg("nvflare", "NVFlare (POC, mutual TLS)", pairs)]


def of_flower(peer: flower.Flower, ours: Suture) -> list[Row]:
    """Give the row of Flower."""
    pairs = [(peer.fedavg(), ours.fedavg()) for _ in range(REPETITIONS)]
    return [of_fedavg("flower", "Flower (SuperLink and SuperNodes, no TLS)", pairs)]


def of_fedavg(name: str, peer: str, pairs: list[tuple[float, float]]) -> Row:
    """Give the row of whole jobs: theirs over ours."""
    return row(
        f"{name}_over_suture_fedavg", pairs,
        f"FedAvg, 3 rounds, 4 sites, 1 MB of weights: {peer}, already up, "
        "{ours:.1f} s over Suture, from nothing, {theirs:.2f} s",
    )  # fmt: skip


def of_exchanges(peer: flare.Flare) -> list[Row]:
    """Give the rows of single exchanges and of split steps."""
    theirs, ours, steps = [], [], []
    with exchanging() as exchanges, split_step.stepping() as suture_steps:
        exchanges(EXCHANGES)
        suture_steps(EXCHANGES)
        for _ in range(REPETITIONS):
            theirs.append(peer.exchange())
            ours.append(statistics.median(exchanges(EXCHANGES)))
            steps.append(statistics.median(suture_steps(EXCHANGES)))
    medians = [{way: statistics.median(seconds) for way, seconds in found.items()} for found in theirs]
    said = ": {ours_ms:.1f} ms over Suture with gate, ledger and CURVE {theirs_ms:.3f} ms"
    rows = [
        row(name, [(found[way], our) for found, our in zip(medians, ours, strict=True)], what + said)
        for name, (way, what) in WAYS.items()
    ]
    pairs = [(found["split_step"], our) for found, our in zip(medians, steps, strict=True)]
    what = "the MLP's split step of split_step_mlp, one call of the Collab API a step"
    return [*rows, row("nvflare_over_suture_split_step", pairs, what + said)]


PEERS: dict[str, tuple[Callable[[Path], AbstractContextManager[Any]], Callable[[Any, Suture], list[Row]]]] = {
    "NVFlare": (flare.deployed, of_flare),
    "Flower": (flower.deployed, of_flower),
}

if __name__ == "__main__":
    main(sys.argv[1:])
