"""What broke while the runs went: when each went on from a commit, and who had come back for it."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from coordinator.comparison.estimates import Rows
from coordinator.comparison.predictions import folder_of
from coordinator.errors import DataError
from coordinator.specs import Evaluation

FILE: Final = "interruptions.jsonl"


def interruption_rows(spec: Evaluation, results: Path) -> Rows:
    """List every time that a run went on from a commit (-1: from its beginning); times are in UTC.

    Raises:
        DataError: a run's file is not as described.
    """
    rows: Rows = []
    for run in spec.runs.values():
        place = {"task": run.task, "strategy": run.strategy, "seed": run.seed}
        found = _read(folder_of(results, run) / FILE)
        rows += [{**place, "number": number, **each} for number, each in enumerate(found, 1)]
    return rows


def _read(path: Path) -> Rows:
    if not path.is_file():  # a run of an earlier version
        return []
    try:
        return [_row(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: no list of interruptions ({error}); remove it and rerun the run") from None


def _row(found: dict[str, Any]) -> dict[str, Any]:
    at = datetime.fromtimestamp(found["time"], UTC).isoformat(timespec="seconds")
    return {"time": at, "back": " ".join(found["back"]), "commit": int(found["commit"])}
