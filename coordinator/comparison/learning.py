"""How training went: the rounds of the learning rate that validation chose.

A history has a row for all hospitals and one for each, after every round; its bytes and seconds are
the whole run's so far.
"""

import json
import math
from pathlib import Path
from typing import Any

from coordinator.comparison.estimates import ALL, Rows
from coordinator.comparison.predictions import file_of
from coordinator.errors import DataError
from coordinator.specs import Evaluation, Run

Entry = dict[str, Any]
NEEDED = ("trial", "learning_rate", "round", "site", "validation_loss")


def learning_rows(spec: Evaluation, results: Path) -> dict[str, Rows]:
    """List the chosen trials' rounds, and what was chosen; `local` chooses at each site.

    Raises:
        ConfigError: a run's history is missing.
        DataError: a history is not as described.
    """
    learning: Rows = []
    chosen: Rows = []
    for run in spec.runs.values():
        history = read_history(spec, run, results)
        for site in _choosers(spec, run):
            own = [entry for entry in history if entry["site"] == site]
            best = _best(own)
            place = {"task": run.task, "strategy": run.strategy, "seed": run.seed, "site": site}
            chosen.append({**place, **_choice(best, own)})
            learning += [{**place, **row} for row in _trial(own, best)]
    return {"figures/learning.csv": learning, "figures/chosen.csv": chosen}


def read_history(spec: Evaluation, run: Run, results: Path) -> list[Entry]:
    """Read what a run wrote after every round: a row for all hospitals, and one for each.

    Raises:
        ConfigError: it is missing.
        DataError: it is not as described.
    """
    path = file_of(results, run, "history.jsonl")
    try:
        found = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except ValueError as error:
        raise DataError(
            f"{path}: not one JSON object a line ({error}); remove it and rerun the run"
        ) from None
    for number, entry in enumerate(found, 1):
        if missing := [name for name in NEEDED if not isinstance(entry, dict) or name not in entry]:
            raise DataError(f"{path}:{number}: '{missing[0]}' is missing; expected {', '.join(NEEDED)}")
    if missing := [site for site in _choosers(spec, run) if site not in {entry["site"] for entry in found}]:
        raise DataError(f"{path}: holds no round of '{missing[0]}'; remove it and rerun the run")
    return found


def _choosers(spec: Evaluation, run: Run) -> tuple[str, ...]:
    # hospitals that train alone choose alone, held-out ones nothing; else the choice is by the loss over all
    if run.preset != "local":
        return (ALL,)
    return tuple(site for site in run.sites if site not in spec.study.tasks[run.task].split.held_out)


def _best(history: list[Entry]) -> Entry:
    known = [entry for entry in history if _finite(entry["validation_loss"]) is not None]
    return min(known or history[:1], key=lambda entry: entry["validation_loss"] or 0.0)


def _choice(best: Entry, history: list[Entry]) -> Entry:
    return {
        "learning_rate": best["learning_rate"],
        "round": best["round"],
        "validation_loss": _finite(best["validation_loss"]),
        "tried": len({entry["trial"] for entry in history}),
    }


def _trial(history: list[Entry], best: Entry) -> list[Entry]:
    before = [entry for entry in history if entry["trial"] < best["trial"]]
    start = before[-1] if before else {}
    return [
        {
            "learning_rate": entry["learning_rate"],
            "round": entry["round"],
            "train_loss": _finite(entry.get("train_loss")),
            "validation_loss": _finite(entry["validation_loss"]),
            "validation_auroc": entry.get("validation_auroc"),
            "validation_pairs": entry.get("validation_pairs", 0),
            "bytes": _moved(entry) - _moved(start),
            "seconds": entry.get("seconds", 0.0) - start.get("seconds", 0.0),
            "best": int(entry is best),
        }
        for entry in history
        if entry["trial"] == best["trial"]
    ]


def _moved(entry: Entry) -> float:
    return float(entry.get("bytes_up", 0) + entry.get("bytes_down", 0))


def _finite(loss: float | None) -> float | None:
    return loss if loss is not None and math.isfinite(loss) else None
