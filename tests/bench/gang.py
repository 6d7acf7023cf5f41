"""A run's real halves over real sockets on random records, forked from one process; what benchmarks time.

Each site has the product's gate and ledger; the coordinator is a process of its own, so that memory and
processor seconds are nobody else's.
"""

import json
import os
import resource
import socket
import struct
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import torch

from coordinator.algorithms.cohort import Cohort, Rows, SiteData
from coordinator.algorithms.party import Party
from coordinator.commits import Commits
from coordinator.config import Model, Training
from coordinator.driver import coordinate, take_part
from coordinator.keeping import Keeping
from coordinator.limits import ahead_limit, message_limit
from coordinator.presets import PRESETS
from coordinator.protocol.channel import CoordinatorChannel
from coordinator.protocol.dealer import Dealer
from coordinator.protocol.keys import COORDINATOR, make, read_manifest, read_secret
from coordinator.protocol.messages import Hello
from coordinator.protocol.seals import Sealer
from coordinator.protocol.sockets import Router
from coordinator.schedule import Batch, JointBatch
from coordinator.server.committing import CoordinatorCommits, Heads
from coordinator.specs import POOLED, Run
from sites.committing import SiteCommits
from sites.gate import open_channel
from tests.bench.forking import forked, join, write

TCP_INFO_RECEIVED = 128  # where Linux's struct tcp_info has the bytes received


class Measured(NamedTuple):
    """What a run took, from the first to the last item of its schedule."""

    wall: float  # seconds
    cpu: float  # seconds of all parties' processors
    step: float  # seconds, the median of the times between two steps' ends
    payload: int  # bytes of messages from the sites
    wire: int  # bytes that the kernel received from them
    memory: int  # bytes resident at the coordinator


def a_run(preset: str, sites: int, model: Model, cut: tuple[str, ...] = (), **training) -> Run:
    """Describe a run over so many sites."""
    names, axes = tuple(f"site{i}" for i in range(sites)), PRESETS[preset]
    return Run(
        study="bench", task="bench", strategy=preset, seed=0, sites=names,
        parties=(POOLED,) if preset == "centralized" else names, prepared={}, preset=preset,
        site_weights="records", cut=cut if axes["algorithm"] == "split" else (), model=model,
        validation=0.1, missing="impute", release="nothing", threads=1,
        training=Training(**{"rounds": 1, "learning_rates": (1e-3,), **training}), **axes,
    )  # fmt: skip


def measure(run: Run, records: int, shape: tuple[int, ...], *, commits: bool = False) -> Measured:
    """Do a run on random records, `records` at each site, and say what it took."""
    each = (records,) * len(run.sites)
    few = (1,) * len(run.sites)
    cohort = Cohort(shape, each, few, few, tuple(n // 2 for n in each))
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        folder.chmod(0o700)
        make(folder, [COORDINATOR, *run.parties])
        parties = [forked(_coordinator, run, cohort, folder, commits)]
        parties += [forked(_site, run, cohort, folder, name, commits) for name in run.parties]
        join(parties)
        found = json.loads((folder / "coordinator.json").read_text())
        cpu = sum(
            json.loads(path.read_text())["cpu"] for path in folder.glob("*.json") if path.stem != "manifest"
        )
    return Measured(**{**found, "cpu": cpu})


def _coordinator(run: Run, cohort: Cohort, folder: Path, commits: bool) -> None:
    manifest = read_manifest(folder / "manifest.json")
    keys = {manifest[name].curve: name for name in run.parties}
    link = Router("tcp://127.0.0.1:0", read_secret(folder / "coordinator.secret").curve, lambda: keys)
    limit, ahead = message_limit(run, cohort), ahead_limit(run, cohort)
    channel = CoordinatorChannel(link, run.parties, spec="bench", limit=limit, ahead=ahead)
    write(folder / "endpoint", link.endpoint)
    channel.admit()
    channel.welcome(cohort.train)
    keeping = Keeping(Commits(folder / "commits", "bench"), {"lines": channel.lines}) if commits else None
    together = CoordinatorCommits(keeping, channel, Heads(), meanwhile=True) if keeping else None
    ends = []

    def watch(item, party):
        if isinstance(item, Batch | JointBatch):
            ends.append(time.perf_counter())

    began, cpu = time.perf_counter(), time.process_time()
    coordinate(Party(run, cohort), channel, watch, together)
    gaps = sorted(after - before for before, after in pairwise(ends))
    found = Measured(
        time.perf_counter() - began, time.process_time() - cpu, gaps[len(gaps) // 2] if gaps else 0.0,
        sum(n for kind, n in channel.lines.counted().items() if kind.startswith("up.")), _received(link),
        _resident(),
    )  # fmt: skip
    write(folder / "coordinator.json", json.dumps(found._asdict()))
    while not all((folder / f"{name}.json").exists() for name in run.parties):
        time.sleep(0.01)
    link.close()


def _site(run: Run, cohort: Cohort, folder: Path, name: str, commits: bool) -> None:
    manifest, secret = read_manifest(folder / "manifest.json"), read_secret(folder / f"{name}.secret")
    while not (folder / "endpoint").exists():
        time.sleep(0.01)
    endpoint = (folder / "endpoint").read_text()
    link = Dealer(endpoint, manifest[COORDINATOR].curve, secret.curve, manifest[name].curve)
    limit = message_limit(run, cohort)
    channel, gate = open_channel(run, link, folder / f"{name}.jsonl", limit=limit)
    channel.enter(Hello(name, "bench", 0), lambda refusals: None)
    party = Party(run, cohort, -1 if name == POOLED else run.sites.index(name), _data(run, cohort, name))
    party.sealer = None if name == POOLED else Sealer(secret, manifest)
    keeping = Keeping(Commits(folder / f"commits-{name}", "bench"), {}) if commits else None
    together = SiteCommits(keeping, channel, gate) if keeping else None
    cpu = time.process_time()
    take_part(party, channel, lambda item, party: None, together)
    write(folder / f"{name}.json", json.dumps({"cpu": time.process_time() - cpu}))
    while not (folder / "coordinator.json").exists():  # a link that closes early would look like a loss
        time.sleep(0.01)


def _data(run: Run, cohort: Cohort, name: str) -> SiteData:
    pooled = name == POOLED
    hospitals = range(len(run.sites)) if pooled else [run.sites.index(name)]
    train = [_rows(cohort.train[i], cohort.shape, i) for i in hospitals]
    others = tuple(_rows(1, cohort.shape, i) for i in hospitals)
    inputs = torch.cat([rows.inputs for rows in train])
    return SiteData(Rows(inputs, torch.cat([rows.labels for rows in train])), others, others)


def _rows(count: int, shape: tuple[int, ...], seed: int) -> Rows:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(count, *shape, generator=generator)
    return Rows(inputs, (torch.rand(count, generator=generator) > 0.5).float())


def _received(link: Router) -> int:
    """Ask the kernel how many bytes came over all connections."""
    return sum(map(_received_by, list(link._connections.sites)))


def _received_by(descriptor: int) -> int:
    with socket.socket(fileno=os.dup(descriptor)) as connection:
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    return struct.unpack_from("<Q", info, TCP_INFO_RECEIVED)[0]


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()
