"""What it costs until a model is good; and per epoch and record, which flatters who needs more of them."""

from pathlib import Path
from typing import Any

from coordinator.comparison.agreed import statistics_file
from coordinator.comparison.estimates import Rows
from coordinator.protocol.keys import COORDINATOR
from coordinator.specs import Evaluation, Run
from coordinator.statistics import read_statistics

Costs = dict[str, dict[str, dict[str, float]]]
POOLING = "bytes_up.pooling.records"


def target_rows(spec: Evaluation, paid: Costs, learning: Rows) -> Rows:
    """List for each run what it took until validation loss was near the reference's best of that seed.

    A round counts with all its cost. Operations are the run's, spread evenly over its rounds; a pool's bytes
    include the records that were moved. Hospitals that train alone: the mean of their losses.
    """
    rows: Rows = []
    for key, run in spec.runs.items():
        limit = _limit(spec, run, learning)
        place = {"task": run.task, "strategy": run.strategy, "seed": run.seed, "target": limit}
        reached = (
            None if limit is None else next((at for at in _rounds(run, learning) if at[1] <= limit), None)
        )
        rows.append({**place, "reached": int(reached is not None), **_spent(run, paid[key], reached)})
    return rows


def unit_rows(spec: Evaluation, paid: Costs, results: Path) -> Rows:
    """List bytes and operations, means over seeds: whole, per epoch, per training record shown.

    ``ratio`` is the strategy's to that of ``against``: the first of fedavg, local and the reference that ran.
    """
    found: dict[tuple[str, str, str, str], list[tuple[float, ...]]] = {}
    for key, run in spec.runs.items():
        counts = read_statistics(statistics_file(results, run.task, run.seed))["sites"]
        records = max(1, sum(counts[site]["train"] for site in run.sites))
        passes = run.training.rounds * run.training.local_epochs * len(run.training.learning_rates)
        for measure, (value, unit) in _whole(paid[key]).items():
            own = found.setdefault((run.task, run.strategy, measure, unit), [])
            own.append((value, value / passes, value / passes / records))
    means = {
        key: [sum(column) / len(rows) for column in zip(*rows, strict=True)] for key, rows in found.items()
    }
    return [_unit_row(key, values, means, spec.study.reference) for key, values in means.items()]


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


def _limit(spec: Evaluation, run: Run, learning: Rows) -> float | None:
    reference = spec.runs.get(f"{run.task}/{spec.study.reference}/{run.seed}")
    losses = [loss for _, loss, _, _ in _rounds(reference, learning)] if reference else []
    return min(losses) + spec.study.target_loss if losses else None


def _rounds(run: Run, learning: Rows) -> list[tuple[int, float, float, float]]:
    """Give each round's number from 1, loss, and bytes and seconds so far."""
    place = (run.task, run.strategy, run.seed)
    own = [
        row
        for row in learning
        if (row["task"], row["strategy"], row["seed"]) == place and row["validation_loss"] is not None
    ]
    found = []
    for number in sorted({row["round"] for row in own}):
        at = [row for row in own if row["round"] == number]
        means = [sum(row[name] for row in at) / len(at) for name in ("validation_loss", "bytes", "seconds")]
        found.append((number + 1, means[0], means[1], means[2]))
    return found


def _spent(
    run: Run, paid: dict[str, dict[str, float]], reached: tuple[int, float, float, float] | None
) -> dict[str, Any]:
    if reached is None:
        return dict.fromkeys(("rounds", "bytes", "seconds", "flops"))
    rounds = run.training.rounds * len(run.training.learning_rates)
    moved = sum(measures.get(POOLING, 0.0) for measures in paid.values())
    operations = sum(measures.get("flops", 0.0) for measures in paid.values())
    return {"rounds": reached[0], "bytes": reached[2] + moved, "seconds": reached[3],
            "flops": operations * reached[0] / rounds}  # fmt: skip


def _whole(paid: dict[str, dict[str, float]]) -> dict[str, tuple[float, str]]:
    sites = [measures for party, measures in paid.items() if party != COORDINATOR]
    moved = sum(each.get("bytes_up", 0.0) + each.get("bytes_down", 0.0) for each in sites)
    at_sites, whole = (sum(each.get("flops", 0.0) for each in some) for some in (sites, paid.values()))
    return {"bytes": (moved, "bytes"), "flops_at_sites": (at_sites, "FLOP"), "flops": (whole, "FLOP")}
