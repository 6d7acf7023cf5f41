"""What the sites left out when they agreed on statistics, for being of too few patients."""

from pathlib import Path
from typing import Any

from coordinator.comparison.estimates import Rows
from coordinator.specs import Evaluation
from coordinator.statistics import read_statistics

KINDS = ("numeric", "series", "image")


def agreed_rows(spec: Evaluation, results: Path) -> dict[str, Rows]:
    """List how many cells each site left out, and how many values of each variable no histogram counts.

    Raises:
        ConfigError: a statistics.json is missing.
    """
    places = dict.fromkeys((run.task, run.seed) for run in spec.runs.values())
    found = {place: read_statistics(statistics_file(results, *place)) for place in places}
    return {
        "figures/suppressed.csv": [
            {"task": task, "seed": seed, "site": site, "cells": cells}
            for (task, seed), statistics in found.items()
            for site, cells in statistics["suppressed"].items()
        ],
        "figures/uncounted.csv": [
            {"task": task, "seed": seed, **row}
            for (task, seed), statistics in found.items()
            for row in _uncounted(statistics)
        ],
    }


def statistics_file(results: Path, task: str, seed: int) -> Path:
    """Name the file in which the sites' agreement lies."""
    return results / "statistics" / task / str(seed) / "statistics.json"


def _uncounted(statistics: dict[str, Any]) -> Rows:
    rows: Rows = [
        {"variable": each["name"], "kind": kind, "n": each["n"], "uncounted": each["uncounted"]}
        for kind in KINDS
        for each in statistics[kind]
        if "uncounted" in each
    ]
    sums = {what: sum(row[what] for row in rows) for what in ("n", "uncounted")}
    return [{"variable": "all", "kind": "all", **sums}, *rows] if rows else []
