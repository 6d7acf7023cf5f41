"""The rows of ``bench.json``: each a ratio of two things measured in turn, with quartiles."""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from coordinator.config import Model
from tests.bench import split_step
from tests.bench.bare_networks import bare_step
from tests.bench.gang import Measured, a_run, measure

Row = dict[str, Any]
MLP = Model(name="mlp", hidden=(128, 64))
CNN = Model(name="cnn", channels=(16, 32, 64))
SHAPE, SMALL_PIXELS, PIXELS = (64,), (1, 28, 28), (3, 64, 64)
MIB = 2**20


def resnet18(stem: str = "7x7") -> Model:
    """Give the network as published, for one outcome."""
    return Model(name="resnet18", stem=stem)


def row(name: str, pairs: list[tuple[float, float]], what: str) -> Row:
    """Give a row: the median of ours over theirs, and its quartiles."""
    ratios = [ours / theirs for ours, theirs in pairs]
    low, _, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    said = what.format(ours=ours, theirs=theirs, ours_ms=1000 * ours, theirs_ms=1000 * theirs)
    return {"name": name, "ratio": statistics.median(ratios), "low": low, "high": high, "what": said}


def in_turn(
    times: int, ours: Callable[[], Measured], theirs: Callable[[], Measured]
) -> list[tuple[Measured, Measured]]:
    """Measure both, one after the other, so many times."""
    return [(ours(), theirs()) for _ in range(times)]


def split_steps() -> list[Row]:
    """Time steps of three networks against the bare loop, encrypted as ours is, and plain."""
    return [found for network in NETWORKS for found in against_bare(*network)]


def against_bare(
    name: str, model: Model, shape: tuple[int, ...], last: str, batch: int, steps: int
) -> list[Row]:
    """Measure one network's step three times in turn: ours, the bare one with CURVE, the bare one without."""
    run, records = a_run("split", 1, model, (last,), batch_size=batch), batch * steps
    found = [
        (measure(run, records, shape).step, *(bare_step(run, records, shape, curve=c) for c in (True, False)))
        for _ in range(3)
    ]
    said = f"a split step, {name} cut after {last}, batch {batch}: Suture (CURVE) {{ours_ms:.2f}} ms over"
    return [
        row(f"split_step_{name}_{kind}", [(step[0], step[place]) for step in found],
            f"{said} bare pyzmq and torch ({kind.replace('curve', 'CURVE')}) {{theirs_ms:.2f}} ms")
        for place, kind in enumerate(("curve", "plain"), start=1)
    ]  # fmt: skip


def split_epoch(stem: str, records: int, times: int) -> Row:
    """An epoch cut after layer1 against an uncut one, in processor seconds of all parties."""
    model, training = resnet18(stem), {"batch_size": 16}
    pairs = in_turn(
        times,
        lambda: measure(a_run("split", 1, model, ("layer1",), **training), records, PIXELS),
        lambda: measure(a_run("centralized", 1, model, **training), records, PIXELS),
    )
    name = "split_epoch_resnet18_cpu" if stem == "7x7" else "split_epoch_resnet18_3x3_cpu"
    return row(
        name, [(ours.cpu, theirs.cpu) for ours, theirs in pairs],
        f"processor seconds of all parties, ResNet-18 with a {stem} stem, 64 px, cut after layer1, {records} "
        "records: split {ours:.2f} s over centralized {theirs:.2f} s",
    )  # fmt: skip


def parallel(preset: str, name: str, cut: tuple[str, ...]) -> Row:
    """Two sites at once on two cores against one process with all their records."""
    model, training, records = resnet18(), {"batch_size": 16}, 256
    pairs = in_turn(
        3,
        lambda: measure(a_run(preset, 2, model, cut, **training), records, PIXELS),
        lambda: measure(a_run("centralized", 2, model, **training), records, PIXELS),
    )
    where = f" cut after {cut[0]}" if cut else ""
    return row(
        name, [(ours.wall, theirs.wall) for ours, theirs in pairs],
        f"wall seconds of a round, ResNet-18 with a 7x7 stem, 64 px{where}: {preset} with 2 sites of "
        f"{records} records "
        "{ours:.2f} s over centralized {theirs:.2f} s",
    )  # fmt: skip


def fedavg_round() -> Row:
    """Rounds of FedAvg against its sites' arithmetic alone."""
    training = {"rounds": 20, "batch_size": 32}
    pairs = in_turn(
        3,
        lambda: measure(a_run("fedavg", 1, MLP, **training), 2048, SHAPE),
        lambda: measure(a_run("centralized", 1, MLP, **training), 2048, SHAPE),
    )
    return row(
        "fedavg_round", [(ours.wall / 20, theirs.wall / 20) for ours, theirs in pairs],
        "a round of FedAvg with one site, MLP, 64 steps: {ours_ms:.1f} ms over its local training "
        "{theirs_ms:.1f} ms",
    )  # fmt: skip


def wire() -> Row:
    """Bytes of the ZMTP stream against the arrays in it, for the activations of a large cut."""
    run = a_run("split", 1, resnet18(), ("layer1",), batch_size=16)
    found = measure(run, 64, PIXELS)
    arrays = 4 * (64 + 1 + 1) * 64 * 16 * 16 + 4 * 64  # one validation and one test record beside; labels
    return row(
        "wire_over_payload_resnet18", [(found.wire, arrays)],
        "bytes up that the kernel counted, CURVE, handshake and messages of the conversation included "
        "{ours:.0f}, over activations and labels {theirs:.0f}",
    )  # fmt: skip


def fifty_sites() -> list[Row]:
    """What a step costs with 50 sites, and what memory each more takes at the coordinator."""
    steps, training = 1200, {"batch_size": 32, "rounds": 1}
    many = a_run("split", 50, MLP, ("layer1",), **training)
    few = a_run("split", 2, MLP, ("layer1",), **training)
    pairs = in_turn(
        3,
        lambda: measure(many, 32 * steps // 50, SHAPE),
        lambda: measure(few, 32 * steps // 2, SHAPE),
    )
    grown = [(ours.memory - theirs.memory) / 48 / MIB for ours, theirs in pairs]
    return [
        row(
            "fifty_sites_step", [(ours.step, theirs.step) for ours, theirs in pairs],
            "one split step, MLP, one site after the other: with 50 sites {ours_ms:.3f} ms over 2 sites "
            "{theirs_ms:.3f} ms",
        ),
        {
            "name": "fifty_sites_memory_mb", "ratio": statistics.median(grown) / 8, "low": min(grown) / 8,
            "high": max(grown) / 8, "what": f"coordinator's memory that one more site takes: "
            f"{statistics.median(grown):.2f} MiB over 8 MiB",
        },
    ]  # fmt: skip


def commit_cost() -> Row:
    """Quick rounds with a commit each against none: the dearest case."""
    run = a_run("fedavg", 2, MLP, rounds=40, batch_size=32)
    pairs = in_turn(
        3, lambda: measure(run, 512, SHAPE, commits=True), lambda: measure(run, 512, SHAPE)
    )  # fmt: skip
    return row(
        "commit_round", [(ours.wall / 40, theirs.wall / 40) for ours, theirs in pairs],
        "a round of FedAvg with 2 sites, MLP, 16 steps each: with a commit {ours_ms:.1f} ms over without "
        "{theirs_ms:.1f} ms",
    )  # fmt: skip


def start_up() -> Row:
    """From nothing to the first step of a federation of two, against one import of torch and zmq."""

    def timed(*words: str) -> float:
        began = time.perf_counter()
        subprocess.run([sys.executable, *words], check=True)
        return time.perf_counter() - began

    first = "from tests.bench.rows import first_step; first_step()"
    pairs = [(timed("-c", first), timed("-c", "import torch, zmq")) for _ in range(3)]
    return row(
        "start_up", pairs,
        "start of a coordinator and two sites to the end of their first steps {ours:.2f} s over "
        "`import torch, zmq` {theirs:.2f} s",
    )  # fmt: skip


def first_step() -> None:
    """Train two sites for one step each."""
    measure(a_run("split", 2, MLP, ("layer1",), batch_size=32), 32, SHAPE)


NETWORKS = (
    ("mlp", MLP, SHAPE, "layer1", 64, 1000),
    ("cnn", CNN, SMALL_PIXELS, "conv1", 32, 60),
    ("resnet18", resnet18(), PIXELS, "layer1", 16, 12),
)
ROWS: dict[str, Callable[[], Row | list[Row]]] = {
    "split_step_mlp": split_step.measure,
    "split_steps": split_steps,
    "split_epoch_resnet18_cpu": lambda: split_epoch("7x7", 768, 3),
    "split_epoch_resnet18_3x3_cpu": lambda: split_epoch("3x3", 16, 1),
    "parallel_two_sites_wall": lambda: parallel("fedavg", "parallel_two_sites_wall", ()),
    "parallel_splitfed_v1_wall": lambda: parallel("splitfed_v1", "parallel_splitfed_v1_wall", ("layer2",)),
    "fedavg_round": fedavg_round,
    "wire_over_payload_resnet18": wire,
    "fifty_sites_step": fifty_sites,
    "commit_round": commit_cost,
    "start_up": start_up,
}
