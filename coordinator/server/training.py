"""The coordinator's side of a training run, from the open channel to the written results."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from coordinator import final_model, specs
from coordinator.algorithms.party import Cohort, Party
from coordinator.cost import Clock, costs_of
from coordinator.driver import coordinate as walk
from coordinator.limits import ahead_limit, message_limit
from coordinator.model_files import about, weights_file, write_parts
from coordinator.outcome import write_bytes, write_json
from coordinator.protocol.channel import CoordinatorChannel
from coordinator.protocol.keys import COORDINATOR
from coordinator.protocol.messages import Done
from coordinator.schedule import participants
from coordinator.server.events import say, still_waiting
from coordinator.server.progress import Progress
from coordinator.specs import Run
from coordinator.statistics import read_statistics


def coordinate(options: argparse.Namespace, open_channel: Callable[..., CoordinatorChannel]) -> None:
    """Coordinate a run and write its results under ``out``."""
    run, statistics = specs.read(Run, options.spec), read_statistics(options.statistics)
    torch.set_num_threads(run.threads)
    party = Party(run, Cohort.of(statistics, run.sites))
    channel = open_channel(run, message_limit(run, party.cohort), ahead_limit(run, party.cohort))
    progress = Progress(run, party.cohort, channel)
    channel.admit(still_waiting)
    channel.welcome(party.cohort.train)
    clock = Clock()
    walk(party, channel, progress.see)
    costs = costs_of(party, clock, channel.counted())
    out = options.state / "out"
    hashes = write_parts(party.parts, COORDINATOR, out / "model", about(run, COORDINATOR, statistics))
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
    participation = [
        {"trial": trial, "round": round_, "sites": [run.parties[i] for i in who(run, round_)]}
        for trial in range(len(run.training.learning_rates))
        for round_ in range(run.training.rounds)
    ]
    costs = {party: each.costs for party, each in done.items()}
    write_json(out / "arithmetic.json", arithmetic(run))
    final_model.write(final_model.describe(run, statistics, hashes), out)
    write_bytes(out / "weights.sha256", weights_file(hashes).encode())
    write_bytes(out / "history.jsonl", _lines(history))
    write_bytes(out / "participation.jsonl", _lines(participation))
    write_bytes(out / "costs.json", json.dumps(costs, indent=1).encode())


def who(run: Run, round_: int) -> tuple[int, ...]:
    """Give the parties that took part in a round; the pool is one."""
    return participants(run, round_, len(run.parties))


def arithmetic(run: Run) -> dict[str, Any]:
    """Say what the equality of two runs' bits depends on, beside the spec."""
    return {
        "torch": torch.__version__,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads_per_process": run.threads,
        "optimizer": f"{run.training.optimizer}, fused",
    }


def _lines(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()
