"""``python -m sites audit``: attacks on the runs of a task and seed, scored against the sites' records.

The auditor loads the truth and the auxiliary records, which no arm trains on, and gives attacks arrays:
what the coordinator recorded, and what the attacker's threat model says it holds.
"""

import argparse
import json
import time
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import torch

from coordinator import specs
from coordinator.algorithms.training import train_batch
from coordinator.attacks.adapted import knowing, whole_models_are_private
from coordinator.attacks.effort import EFFORTS, Effort
from coordinator.attacks.membership import Step
from coordinator.comparison.tables import write_tables
from coordinator.errors import DataError
from coordinator.specs import Audit, Run
from coordinator.statistics import read_statistics
from coordinator.wire import WIRE, read_wire
from sites.attacked import Attacked, Hospital, Rows
from sites.dependence import dependence_rows
from sites.hijacked import hijacking_rows
from sites.label_attacks import label_rows
from sites.membership_attacks import Targets, membership_rows, targets_of
from sites.peer_attacks import peer_rows
from sites.reconstruction import reconstruction_rows
from sites.records import load
from sites.turn_attacks import turn_rows
from sites.update_attacks import update_rows

PRIVATE: Final = "coordinator.attacks.private_shadows"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--spec", type=Path, required=True, help="the audit's spec, written by the plan")
    parser.add_argument("--statistics", type=Path, required=True, help="what the sites agreed on")
    parser.add_argument("--results", type=Path, required=True, help="the study's results folder")
    parser.add_argument("--state", type=Path, required=True, help="the study's state folder, with the wires")
    parser.add_argument("--out", type=Path, required=True, help="folder for the tables")


def run(options: argparse.Namespace) -> int:
    """Attack every run, and write a row per attack, target and measure."""
    spec = specs.read(Audit, options.spec)
    torch.set_num_threads(spec.threads)
    statistics = read_statistics(options.statistics)
    first = next(iter(spec.runs.values()))
    hospitals = [hospital_of(first, statistics, site) for site in first.sites]
    effort = EFFORTS[spec.effort]
    rows, pictures = [], []
    targets: dict[
        str, Targets
    ] = {}  # by how whole models are trained; the first run's serve all ordinary ones
    hijacked: dict[tuple[str, ...], Rows] = {}  # by cut and defence: the same of every strategy
    for each in spec.runs.values():
        attacked = read_run(each, statistics, hospitals, options, gallery=spec.gallery)
        began = time.monotonic()
        private = whole_models_are_private(each)
        kind = each.privacy.model_dump_json() if private else ""
        if kind not in targets:
            like = with_chosen_rate(each if private else first, options.results)
            targets[kind] = targets_of(like, statistics, hospitals, effort, step_of(attacked))
        own = attack(attacked, targets[kind], effort, hijacked)
        print(f"{each.strategy}: {len(own)} measures in {time.monotonic() - began:.0f} s", flush=True)
        rows += own
        pictures += attacked.pictures
    write_tables(options.out, {"privacy.csv": rows, "figures/gallery.csv": pictures})
    print(f"{len(rows)} measures of attacks on {len(spec.runs)} runs of {spec.task}: {options.out}")
    return 0


def step_of(attacked: Attacked) -> Step:
    """Give the kind of step by which a run's whole models were trained."""
    settings = attacked.run.privacy.dp_sgd
    if settings is None or not whole_models_are_private(attacked.run):
        return train_batch
    return import_module(PRIVATE).private_step(
        settings.clip, attacked.scale()
    )  # importing Opacus takes seconds


def hospital_of(run_: Run, statistics: Mapping[str, Any], site: str) -> Hospital:
    """Load a hospital's records by role."""
    folder = Path(run_.prepared[site])
    return Hospital(site, load(folder, statistics, run_.seed, run_.validation, run_.missing))


def with_chosen_rate(run_: Run, results: Path) -> Run:
    """Leave of a run's learning rates the one that its validation chose.

    Raises:
        DataError: its history cannot be read, or is none.
    """
    path = results / "runs" / run_.task / run_.strategy / str(run_.seed) / "history.jsonl"
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        chosen = [row["learning_rate"] for row in rows if row["best"]][-1]  # it replaced those before
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise DataError(f"{path}: not a run's history ({error}); run it again") from None
    training = run_.training.model_copy(update={"learning_rates": (chosen,)})
    return run_.model_copy(update={"training": training})


def read_run(
    run_: Run, statistics: dict[str, Any], hospitals: list[Hospital], options: argparse.Namespace,
    *, gallery: bool,
) -> Attacked:  # fmt: skip
    """Read what a run left: where its final models lie and, if its coordinator recorded it, its wire."""
    place = Path(run_.task, run_.strategy, str(run_.seed))
    recorded = run_.record_round is not None and run_.algorithm in ("split", "federated")
    wire = read_wire(options.state / place / "coordinator" / WIRE) if recorded else []
    models = options.results / "runs" / place / "model"
    return Attacked(run_, statistics, hospitals, wire, models, gallery)


def attack(
    attacked: Attacked, targets: Targets, effort: Effort, hijacked: dict[tuple[str, ...], Rows]
) -> list[dict[str, Any]]:
    """Hold against a run every attack that it admits."""
    run_ = attacked.run
    place = {"task": run_.task, "strategy": run_.strategy, "seed": run_.seed}
    same = (*run_.cut[:1], run_.privacy.model_dump_json())
    if run_.algorithm == "split" and same not in hijacked:
        hijacked[same] = hijacking_rows(attacked, effort)
    found = [
        *reconstruction_rows(attacked, effort),
        *update_rows(attacked, effort),
        *label_rows(attacked, effort),
        *membership_rows(attacked, targets),
        *peer_rows(attacked, targets),
        *turn_rows(attacked, effort),
        *dependence_rows(attacked),
        *hijacked.get(same, []),
    ]
    return [{**place, **row, "target": knowing(row["target"], run_, row["attack"])} for row in found]
