"""What it costs until a model is good; and per epoch and record, which flatters who needs more of them."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from coordinator.comparison.agreed import statistics_file
from coordinator.comparison.estimates import Rows
from coordinator.comparison.learning import Entry, read_history
from coordinator.metrics import PRIMARY
from coordinator.participation import epochs_of, participants
from coordinator.protocol.keys import COORDINATOR
from coordinator.specs import Evaluation, Run
from coordinator.statistics import read_statistics

Costs = dict[str, dict[str, dict[str, float]]]
POOLING = "bytes_up.pooling.records"


class Round(NamedTuple):
    """A finished round of the chosen trial, counted from 1: what it reached, and cost so far."""

    number: int
    loss: float
    auroc: float | None
    bytes: float
    seconds: float
    best: bool


def target_rows(spec: Evaluation, paid: Costs, learning: Rows, results: Path) -> Rows:
    """List for each run what it took until validation was as good as the reference, up to the margin.

    By AUROC: that of the round which the reference's validation chose, less the task's margin; by loss: its
    least plus `target_loss`; both with the same seed. A round counts with all its cost. Operations are the
    run's, spread evenly over the rounds that it walked; a pool's bytes include the records that were moved.
    Hospitals that train alone: their AUROC is weighted by pairs, their loss is the mean of theirs.
    """
    rows: Rows = []
    for key, run in spec.runs.items():
        walked = len(_walked(read_history(spec, run, results)))
        own = rounds_of(run, learning)
        for measure, (limit, good) in _targets(spec, run, learning).items():
            reached = next((each for each in own if limit is not None and good(each, limit)), None)
            rows.append({
                "task": run.task, "strategy": run.strategy, "seed": run.seed, "measure": measure,
                "target": limit, "reached": int(reached is not None), **_spent(walked, paid[key], reached),
            })  # fmt: skip
    return rows


def unit_rows(spec: Evaluation, paid: Costs, results: Path) -> Rows:
    """List bytes and operations, means over seeds: whole, per epoch, per training record shown.

    An epoch shows as many records as the sites have for training, whoever's they are: rounds that were left
    out, and sites that sat out, showed none.
    ``ratio`` is the strategy's to that of ``against``: the first of fedavg, local and the reference that ran.
    """
    found: dict[tuple[str, str, str, str], list[tuple[float, ...]]] = {}
    for key, run in spec.runs.items():
        counts = read_statistics(statistics_file(results, run.task, run.seed))["sites"]
        train = [counts[site]["train"] for site in run.sites]
        shown = max(1, records_shown(run, train, read_history(spec, run, results)))
        for measure, (value, unit) in _whole(paid[key]).items():
            own = found.setdefault((run.task, run.strategy, measure, unit), [])
            own.append((value, value * sum(train) / shown, value / shown))
    means = {
        key: [sum(column) / len(rows) for column in zip(*rows, strict=True)] for key, rows in found.items()
    }
    return [_unit_row(key, values, means, spec.study.reference) for key, values in means.items()]


def records_shown(run: Run, train: list[int], history: list[Entry]) -> int:
    """Count the records that a run's training passed over, given each hospital's number of them."""
    walked = _walked(history)
    if run.preset == "local":  # each walks its own rounds
        rounds = Counter(entry["site"] for entry in history)
        own = zip(run.sites, train, strict=True)
        return sum(rounds[site] * epochs_of(run, i) * n for i, (site, n) in enumerate(own))
    if run.preset == "centralized" and run.batches == "shuffled":
        return len(walked) * run.training.local_epochs * sum(train)
    return sum(
        epochs_of(run, site) * train[site]
        for _, round_ in walked
        for site in participants(run, round_, len(train))
    )


def _walked(history: list[Entry]) -> set[tuple[int, int]]:
    """Name the rounds (trial, round) that were not left out."""
    return {(entry["trial"], entry["round"]) for entry in history}


def _unit_row(
    key: tuple[str, str, str, str],
    values: list[float],
    means: dict[tuple[str, str, str, str], list[float]],
    reference: str,
) -> dict[str, Any]:
    task, strategy, measure, unit = key
    ran = [name for name in ("fedavg", "local", reference) if (task, name, measure, unit) in means]
    base = means[task, ran[0], measure, unit][0] if ran else 0.0
    return {"task": task, "strategy": strategy, "measure": measure, "value": values[0],
            "per_epoch": values[1], "per_record": values[2], "unit": unit,
            "against": ran[0] if ran else None, "ratio": values[0] / base if base else None}  # fmt: skip


def _targets(
    spec: Evaluation, run: Run, learning: Rows
) -> dict[str, tuple[float | None, Callable[[Round, float], bool]]]:
    """Give the targets of a run, None where the reference has none, and whether a round reaches one."""
    reference = spec.runs.get(f"{run.task}/{spec.study.reference}/{run.seed}")
    rounds = rounds_of(reference, learning) if reference else []
    chosen = next((each.auroc for each in rounds if each.best and each.auroc is not None), None)
    margin = spec.study.tasks[run.task].margin
    area = None if chosen is None else chosen - margin
    loss = min(each.loss for each in rounds) + spec.study.target_loss if rounds else None
    return {
        PRIMARY: (area, lambda each, limit: each.auroc is not None and each.auroc >= limit),
        "loss": (loss, lambda each, limit: each.loss <= limit),
    }


def rounds_of(run: Run, learning: Rows) -> list[Round]:
    """List a run's rounds in the trial that was chosen; of sites that train alone put together."""
    place = (run.task, run.strategy, run.seed)
    own = [
        row
        for row in learning
        if (row["task"], row["strategy"], row["seed"]) == place and row["validation_loss"] is not None
    ]
    numbers = sorted({row["round"] for row in own})
    return [_round(number, [row for row in own if row["round"] == number]) for number in numbers]


def _round(number: int, rows: Rows) -> Round:
    means = [sum(row[name] for row in rows) / len(rows) for name in ("validation_loss", "bytes", "seconds")]
    ranked = [row for row in rows if row["validation_auroc"] is not None]
    pairs = sum(row["validation_pairs"] for row in ranked)
    area = sum(row["validation_auroc"] * row["validation_pairs"] for row in ranked) / pairs if pairs else None
    best = any(row["best"] for row in rows)
    return Round(number + 1, means[0], area, means[1], means[2], best)


def _spent(rounds: int, paid: dict[str, dict[str, float]], reached: Round | None) -> dict[str, Any]:
    if reached is None:
        return dict.fromkeys(("rounds", "bytes", "seconds", "flops"))
    moved = sum(measures.get(POOLING, 0.0) for measures in paid.values())
    operations = sum(measures.get("flops", 0.0) for measures in paid.values())
    return {"rounds": reached.number, "bytes": reached.bytes + moved, "seconds": reached.seconds,
            "flops": operations * reached.number / rounds}  # fmt: skip


def _whole(paid: dict[str, dict[str, float]]) -> dict[str, tuple[float, str]]:
    sites = [measures for party, measures in paid.items() if party != COORDINATOR]
    moved = sum(each.get("bytes_up", 0.0) + each.get("bytes_down", 0.0) for each in sites)
    at_sites, whole = (sum(each.get("flops", 0.0) for each in some) for some in (sites, paid.values()))
    return {"bytes": (moved, "bytes"), "flops_at_sites": (at_sites, "FLOP"), "flops": (whole, "FLOP")}
