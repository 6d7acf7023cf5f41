"""The coordinator's side of a training run, from the open channel to the written results."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from coordinator import final_model, specs
from coordinator.algorithms.cohort import Cohort
from coordinator.algorithms.party import Party
from coordinator.cost import Clock, costs_of
from coordinator.devices import check_device
from coordinator.driver import coordinate as walk
from coordinator.limits import ahead_limit, message_limit
from coordinator.model_files import about, weights_file, write_parts
from coordinator.outcome import write_bytes, write_json
from coordinator.participation import participation_rows
from coordinator.protocol.channel import CoordinatorChannel
from coordinator.protocol.keys import COORDINATOR
from coordinator.protocol.messages import Done
from coordinator.schedule import Item
from coordinator.search import Search
from coordinator.server.events import say, still_waiting
from coordinator.server.progress import Progress
from coordinator.specs import Run
from coordinator.statistics import read_statistics
from coordinator.wire import WIRE, Recorder


def coordinate(options: argparse.Namespace, open_channel: Callable[..., CoordinatorChannel]) -> None:
    """Coordinate a run and write its results under ``out``."""
    run, statistics = specs.read(Run, options.spec), read_statistics(options.statistics)
    torch.set_num_threads(run.threads)
    party = Party(run, Cohort.of(statistics, run.sites))
    check_device(party, COORDINATOR)
    channel = open_channel(run, message_limit(run, party.cohort), ahead_limit(run, party.cohort))
    recorder = Recorder(run.record_round, len(run.training.learning_rates))
    if run.record_round is not None:
        channel.listener = recorder.hear
    progress = Progress(run, party.cohort, channel)
    channel.admit(still_waiting)
    channel.welcome(party.cohort.train)
    clock = Clock()
    search = Search(lambda: (channel.counted().total(), channel.heard()))

    def watch(item: Item, now: Party) -> None:
        progress.see(item, now)
        search.see(item, now)

    walk(party, channel, watch)
    costs = {**costs_of(party, clock, channel.counted()), **search.costs(party.best_at[0])}
    out = options.state / "out"
    hashes = write_parts(party.parts, COORDINATOR, out / "model", about(run, COORDINATOR, statistics))
    recorder.write(options.state / WIRE)  # beside out/, whose files alone become results
    done = channel.dismiss()
    everyone = {COORDINATOR: Done(hashes, costs), **dict(zip(channel.sites, done, strict=True))}
    write_results(run, statistics, out, progress.history, everyone)
    channel.close()
    say(event="done", seconds=progress.seconds())


def write_results(
    run: Run, statistics: dict[str, Any], out: Path, history: list[dict[str, Any]], done: dict[str, Done]
) -> None:
    """Write the run's files: who holds which part, hashes, history, participation and costs."""
    hashes = {(party, part): value for party, each in done.items() for part, value in each.hashes.items()}
    walked = list(dict.fromkeys((row["trial"], row["round"]) for row in history))  # not what was left out
    costs = {party: each.costs for party, each in done.items()}
    write_json(out / "arithmetic.json", arithmetic(run))
    final_model.write(final_model.describe(run, statistics, hashes), out)
    write_bytes(out / "weights.sha256", weights_file(hashes).encode())
    write_bytes(out / "history.jsonl", _lines(history))
    write_bytes(out / "participation.jsonl", _lines(participation_rows(run, walked)))
    write_bytes(out / "costs.json", json.dumps(costs, indent=1).encode())


def arithmetic(run: Run) -> dict[str, Any]:
    """Say what the equality of two runs' bits depends on, beside the spec."""
    return {
        "torch": torch.__version__,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads_per_process": run.threads,
        "precision": run.training.precision,
        "devices": run.devices or "cpu",
        "optimizer": f"{run.training.optimizer}, fused",
    }


def _lines(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()
