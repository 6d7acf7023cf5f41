"""What each party paid in each run, and what each site sent to the coordinator by kind."""

import json
from pathlib import Path
from typing import Any, Final

from coordinator.comparison.estimates import Rows
from coordinator.comparison.predictions import file_of
from coordinator.errors import DataError
from coordinator.specs import Evaluation, Run

UNITS: Final = {
    "bytes_up": "bytes",
    "bytes_down": "bytes",
    "flops": "FLOP",
    "seconds": "seconds",
    "cpu_seconds": "seconds",
    "peak_memory": "bytes",
    "parameters": "parameters",
    "steps": "steps",
}
TARGETS: Final = ("labels", "activations", "parameters", "records")
UP: Final = "bytes_up."


def read_costs(spec: Evaluation, results: Path) -> dict[str, dict[str, dict[str, float]]]:
    """Read each run's costs: run -> party -> measure -> value.

    Raises:
        ConfigError: a run's file is missing.
        DataError: a file is not as described.
    """
    return {key: _read(run, results) for key, run in spec.runs.items()}


def cost_rows(spec: Evaluation, costs: dict[str, dict[str, dict[str, float]]]) -> Rows:
    """List one row per run, party and measure, with its unit."""
    return [
        {**_run(spec.runs[key]), "party": party, "measure": measure, "value": value, "unit": unit_of(measure)}
        for key, parties in costs.items()
        for party, measures in parties.items()
        for measure, value in measures.items()
    ]


def spent_rows(rows: Rows) -> Rows:
    """Average each party's costs over seeds."""
    found: dict[tuple[str, ...], list[float]] = {}
    for row in rows:
        place = tuple(row[name] for name in ("task", "strategy", "party", "measure", "unit"))
        found.setdefault(place, []).append(row["value"])
    return [
        {"task": task, "strategy": strategy, "party": party, "measure": measure,
         "value": sum(values) / len(values), "unit": unit, "seeds": len(values)}
        for (task, strategy, party, measure, unit), values in found.items()
    ]  # fmt: skip


def privacy_rows(spec: Evaluation, costs: dict[str, dict[str, dict[str, float]]]) -> Rows:
    """List the bytes of each kind that all sites sent up: what a curious coordinator holds.

    A run that does not count by kind has no rows; no attack is made here.
    """
    sent = {key: _sent(parties) for key, parties in costs.items()}
    kinds = list(dict.fromkeys([*TARGETS, *(kind for found in sent.values() if found for kind in found)]))
    return [
        {**_run(spec.runs[key]), "attack": "sent", "target": kind, "measure": "bytes",
         "value": found.get(kind, 0), "baseline": 0, "n": len(spec.runs[key].parties),
         "threat_model": "curious_coordinator"}
        for key, found in sent.items()
        if found is not None
        for kind in kinds
    ]  # fmt: skip


def unit_of(measure: str) -> str:
    """Name a measure's unit; a share by kind has its whole's."""
    return UNITS.get(measure.split(".")[0], "")


def _sent(parties: dict[str, dict[str, float]]) -> dict[str, float] | None:
    sent: dict[str, float] = {}
    for measures in parties.values():
        for measure, value in measures.items():
            if measure.startswith(UP):
                kind = measure.removeprefix(UP)
                sent[kind] = sent.get(kind, 0) + value
    # who sent nothing sent nothing of any kind; else the kinds were not counted
    nothing = not any(measures.get("bytes_up", 0) for measures in parties.values())
    return sent if sent or nothing else None


def _read(run: Run, results: Path) -> dict[str, dict[str, float]]:
    path = file_of(results, run, "costs.json")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path}: not JSON ({error}); remove it and rerun the run") from None
    if not isinstance(found, dict) or not all(_is_measures(value) for value in found.values()):
        raise DataError(f"{path}: expected {{party: {{measure: number}}}}; remove it and rerun the run")
    return found


def _is_measures(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(number, int | float) for number in value.values())


def _run(run: Run) -> dict[str, Any]:
    return {"task": run.task, "strategy": run.strategy, "seed": run.seed}
