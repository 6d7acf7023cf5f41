"""How training went: the rounds of the learning rate that validation chose."""

import json
from itertools import accumulate
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
        for site, history in _by_site(_read(run, results)).items():
            best = _best(history)
            place = {"task": run.task, "strategy": run.strategy, "seed": run.seed, "site": site}
            chosen.append({**place, **_choice(best, history)})
            learning += [{**place, **row} for row in _trial(history, best)]
    return {"figures/learning.csv": learning, "figures/chosen.csv": chosen}


def _by_site(history: list[Entry]) -> dict[str, list[Entry]]:
    # where the sites train one model, `all` is what the choice was made by
    sites = list(dict.fromkeys(entry["site"] for entry in history))
    return {
        site: [entry for entry in history if entry["site"] == site]
        for site in ([ALL] if ALL in sites else sites)
    }


def _best(history: list[Entry]) -> Entry:
    known = [entry for entry in history if entry["validation_loss"] is not None]
    return min(known or history, key=lambda entry: entry["validation_loss"] or 0.0)


def _choice(best: Entry, history: list[Entry]) -> Entry:
    tried = len({entry["trial"] for entry in history})
    return {**{name: best[name] for name in ("learning_rate", "round", "validation_loss")}, "tried": tried}


def _trial(history: list[Entry], best: Entry) -> list[Entry]:
    rounds = [entry for entry in history if entry["trial"] == best["trial"]]
    sent = accumulate(entry.get("bytes_up", 0) + entry.get("bytes_down", 0) for entry in rounds)
    passed = accumulate(entry.get("seconds", 0.0) for entry in rounds)
    return [
        {"learning_rate": entry["learning_rate"], "round": entry["round"],
         "train_loss": entry.get("train_loss"), "validation_loss": entry["validation_loss"],
         "bytes": moved, "seconds": seconds,
         "best": int(entry is best)}
        for entry, moved, seconds in zip(rounds, sent, passed, strict=True)
    ]  # fmt: skip


def _read(run: Run, results: Path) -> list[Entry]:
    path = file_of(results, run, "history.jsonl")
    try:
        found = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except ValueError as error:
        raise DataError(
            f"{path}: not one JSON object a line ({error}); remove it and rerun the run"
        ) from None
    if not found:
        raise DataError(f"{path}: holds no round; remove it and rerun the run")
    for number, entry in enumerate(found, 1):
        if missing := [name for name in NEEDED if not isinstance(entry, dict) or name not in entry]:
            raise DataError(f"{path}:{number}: '{missing[0]}' is missing; expected {', '.join(NEEDED)}")
    return found
