"""A split step through Suture, all checks and the ledger on, against the bare loop."""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from coordinator.algorithms import split
from coordinator.algorithms.cohort import Cohort, Rows, SiteData
from coordinator.algorithms.party import Party
from coordinator.config import Model, Training
from coordinator.driver import take_part
from coordinator.limits import message_limit
from coordinator.protocol.channel import CoordinatorChannel
from coordinator.protocol.dealer import Dealer
from coordinator.protocol.keys import COORDINATOR, make, read_manifest, read_secret
from coordinator.protocol.messages import Hello
from coordinator.protocol.site_channel import SiteChannel
from coordinator.protocol.sockets import Router
from coordinator.schedule import schedule
from coordinator.specs import Run
from sites.gate import open_channel
from tests.bench import bare_loop
from tests.bench.bare_loop import BATCH, CUT, FEATURES, HIDDEN, RATE

RECORDS, SITE = 4096, "north"
BLOCKS, STEPS, WARM_UP = 15, 200, 100


def a_run() -> Run:
    """Describe a run of one site that is longer than any measurement."""
    return Run(
        study="bench", task="mlp", strategy="split", seed=0, sites=(SITE,), parties=(SITE,), prepared={},
        preset="split", algorithm="split", labels="shared", site_weights="records", cut=("layer1",),
        model=Model(name="mlp", hidden=(CUT, HIDDEN)), validation=0.1, missing="impute",
        training=Training(rounds=1, local_epochs=1000, batch_size=BATCH, learning_rates=(RATE,)),
        release="nothing", threads=1,
    )  # fmt: skip


COHORT = Cohort((FEATURES,), (RECORDS,), (0,), (0,))


def measure() -> dict[str, object]:
    """Give the row ``split_step_mlp``."""
    torch.set_num_threads(1)
    bare, bare_site = _bare()
    try:
        with stepping() as ours:
            return _compare(bare, ours)
    finally:
        bare_site.kill()


def _compare(bare, ours) -> dict[str, object]:
    bare(WARM_UP)
    ours(WARM_UP)
    pairs = [(statistics.median(bare(STEPS)), statistics.median(ours(STEPS))) for _ in range(BLOCKS)]
    ratios = sorted(our / floor for floor, our in pairs)
    low, _, high = statistics.quantiles(ratios, n=4)
    floor, our = (1000 * statistics.median(column) for column in zip(*pairs, strict=True))
    return {
        "name": "split_step_mlp", "ratio": statistics.median(ratios), "low": low, "high": high,
        "what": f"one split step, batch {BATCH}, {FEATURES} features, cut at {CUT}, CURVE: "
        f"Suture {our:.3f} ms over bare pyzmq and torch {floor:.3f} ms; median of {BLOCKS} interleaved "
        f"blocks of {STEPS} steps, with quartiles",
    }  # fmt: skip


def _bare():
    endpoint, key, steps = bare_loop.coordinator()
    return steps, subprocess.Popen([sys.executable, bare_loop.__file__, endpoint, key])


@contextmanager
def stepping() -> Iterator[Callable[[int], list[float]]]:
    """Give steps(n), which does n steps and gives each one's seconds."""
    run = a_run()
    with tempfile.TemporaryDirectory() as folder:
        channel, site = federation(Path(folder), run, [sys.executable, "-m", "tests.bench.split_step"])
        party, items = Party(run, COHORT), schedule(run, COHORT.train)
        channel.admit()
        channel.welcome(COHORT.train)
        split.coordinator_step(party, next(items), channel)

        def steps(count: int) -> list[float]:
            seconds = []
            for _ in range(count):
                start = time.perf_counter()
                split.coordinator_step(party, next(items), channel)
                seconds.append(time.perf_counter() - start)
            return seconds

        try:
            yield steps
        finally:
            site.kill()


def federation(folder: Path, run: Run, program: list[str]) -> tuple[CoordinatorChannel, subprocess.Popen]:
    """Bind as the coordinator, and start the program that is the site, which hears the folder and where."""
    folder.chmod(0o700)
    make(folder, [COORDINATOR, SITE])
    manifest = read_manifest(folder / "manifest.json")
    secret = read_secret(folder / "coordinator.secret").curve
    link = Router("tcp://127.0.0.1:0", secret, lambda: {manifest[SITE].curve: SITE})
    site = subprocess.Popen([*program, str(folder), link.endpoint])
    return CoordinatorChannel(link, [SITE], spec="bench", limit=message_limit(run, COHORT)), site


def enter(folder: Path, endpoint: str, run: Run) -> SiteChannel:
    """Come as the site, by the product's gate and with its ledger."""
    torch.set_num_threads(1)
    manifest, secret = read_manifest(folder / "manifest.json"), read_secret(folder / f"{SITE}.secret")
    link = Dealer(endpoint, manifest[COORDINATOR].curve, secret.curve, manifest[SITE].curve)
    channel, _ = open_channel(run, link, folder / "ledger.jsonl", limit=message_limit(run, COHORT))
    channel.enter(Hello(SITE, "bench", 0), lambda refusals: None)
    return channel


def site_program(folder: Path, endpoint: str) -> None:
    """Be the site: the product's gate, ledger and loop on random records."""
    channel = enter(folder, endpoint, a_run())
    rows = Rows(torch.randn(RECORDS, FEATURES), (torch.rand(RECORDS) > 0.5).float())
    none = Rows(rows.inputs[:0], rows.labels[:0])
    take_part(Party(a_run(), COHORT, 0, SiteData(rows, (none,), (none,))), channel, lambda item, state: None)


if __name__ == "__main__":
    site_program(Path(sys.argv[1]), sys.argv[2])
