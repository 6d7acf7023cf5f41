"""What each party paid in each run, and what each site sent to the coordinator by kind."""

import json
from pathlib import Path
from typing import Any, Final

from coordinator.comparison.estimates import Rows
from coordinator.comparison.predictions import file_of
from coordinator.errors import DataError
from coordinator.protocol.sizes import COUNTS
from coordinator.specs import Evaluation, Run

UNITS: Final = {
    **{f"{count}_{way}": "bytes" for count in COUNTS for way in ("up", "down")},
    "flops": "FLOP",
    "seconds": "seconds",
    "commit_seconds": "seconds",
    "cpu_seconds": "seconds",
    "waiting_seconds": "seconds",
    "gpu_peak_memory": "bytes",
    "peak_memory": "bytes",
    "parameters": "parameters",
    "parameters_seen": "parameters",
    "steps": "steps",
    "trials": "trials",
    "releases": "messages",
    "search_bytes": "bytes",
    "search_releases": "messages",
    "search_share": "share",
}
UP: Final = "bytes_up."
# what a site's message gives to whoever receives it; a message not named here is listed as itself
RANDOMIZED: Final = "labels, some wrong"
TARGETS: Final = {
    "activations": "activations",
    "weights": "parameters",
    "records": "records",
    "headgradient": "gradients",
    "norms": "gradients",
    "validated": "losses",
    "sealed": "sealed",
    "hello": "control",
    "committed": "control",
    "done": "control",
}


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
    """List what all sites sent up: what a curious coordinator, or the pool, holds.

    The share of training records whose labels left follows from the strategy, and does not count labels that
    randomized response made wrong now and then: in a study with such a strategy these are a row of their own.
    Bytes are as counted, and a run that does not count by kind has no rows for them. No attack is made here.
    """
    rows: Rows = []
    randomizes = any(run.privacy.label_epsilon is not None for run in spec.runs.values())
    for key, parties in costs.items():
        run = spec.runs[key]
        place = {**_run(run), "attack": "sent"}
        view = {"baseline": 0, "n": len(run.parties), "threat_model": "curious_coordinator"}
        shared = run.preset == "centralized" or (run.algorithm == "split" and run.labels == "shared")
        sent = {"labels": shared and run.privacy.label_epsilon is None}
        if randomizes:
            sent[RANDOMIZED] = shared and not sent["labels"]
        rows += [
            {**place, "target": target, "measure": "share", "value": float(all_left), **view}
            for target, all_left in sent.items()
        ]
        rows += [
            {**place, "target": target, "measure": "bytes", "value": value, **view}
            for target, value in _sent(run, parties).items()
        ]
    return rows


def unit_of(measure: str) -> str:
    """Name a measure's unit; a share by kind has its whole's."""
    return UNITS.get(measure.split(".")[0], "")


def _sent(run: Run, parties: dict[str, dict[str, float]]) -> dict[str, float]:
    sent: dict[str, float] = {}
    for party in run.parties:  # the coordinator counts the same bytes on its side
        for measure, value in parties.get(party, {}).items():
            if measure.startswith(UP):
                target = TARGETS.get(kind := measure.split(".")[-1], kind)
                sent[target] = sent.get(target, 0) + value
    return {**dict.fromkeys(TARGETS.values(), 0), **sent} if sent else {}


def _read(run: Run, results: Path) -> dict[str, dict[str, float]]:
    path = file_of(results, run, "costs.json")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path}: not JSON ({error}); remove it and rerun the run") from None
    if not isinstance(found, dict) or not all(_is_measures(value) for value in found.values()):
        raise DataError(f"{path}: expected {{party: {{measure: number}}}}; remove it and rerun the run")
    return {party: {**measures, **_share(measures)} for party, measures in found.items()}


def _share(measures: dict[str, float]) -> dict[str, float]:
    """Say what share of a party's bytes went into trials of the grid that were not kept."""
    moved = measures.get("bytes_up", 0) + measures.get("bytes_down", 0)
    return {"search_share": measures["search_bytes"] / moved} if "search_bytes" in measures and moved else {}


def _is_measures(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(number, int | float) for number in value.values())


def _run(run: Run) -> dict[str, Any]:
    return {"task": run.task, "strategy": run.strategy, "seed": run.seed}
