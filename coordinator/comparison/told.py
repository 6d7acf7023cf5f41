"""What the sites of a task told of their test records, read from where the estimation wrote it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from coordinator.comparison.per_site import Runs, SiteEstimates
from coordinator.comparison.site_metrics import NAMES, SiteMetrics
from coordinator.errors import ConfigError, DataError
from coordinator.specs import Evaluation


@dataclass(frozen=True)
class Told:
    """What the sites of a task told, in their order."""

    task: str
    runs: Runs
    sites: tuple[str, ...]
    estimates: list[SiteEstimates]
    metrics: list[SiteMetrics]

    def runs_of(self, strategy: str) -> list[int]:
        """Give the places of a strategy's runs."""
        return [place for place, (name, _) in enumerate(self.runs) if name == strategy]

    @property
    def strategies(self) -> list[str]:
        """Name the strategies, in the study's order."""
        return list(dict.fromkeys(name for name, _ in self.runs))


def read_told(spec: Evaluation, results: Path, task: str) -> Told:
    """Read what a task's sites told.

    Raises:
        ConfigError: it is missing.
        DataError: it is of other runs, or of another version.
    """
    path = results / "estimates" / task / "estimates.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise ConfigError(f"{path} is missing; let the sites estimate first (snakemake does)") from None
    runs = [(run.strategy, run.seed) for run in spec.runs.values() if run.task == task]
    if found["runs"] != [f"{name}/{seed}" for name, seed in runs]:
        raise DataError(f"{path}: its runs are not this study's; remove it and run snakemake again")
    sites = found["sites"]
    if any(tuple(each["metrics"]) != NAMES for each in sites.values()):
        raise DataError(f"{path}: its metrics are another version's; remove it and run snakemake again")
    return Told(
        task,
        runs,
        tuple(sites),
        [SiteEstimates(**_fields(each, SiteEstimates)) for each in sites.values()],
        [SiteMetrics(**_fields(each, SiteMetrics)) for each in sites.values()],
    )


def _fields(site: dict[str, Any], record: type[SiteEstimates] | type[SiteMetrics]) -> dict[str, Any]:
    return {name: _array(name, site[name]) for name in record.__dataclass_fields__}


def _array(name: str, value: Any) -> Any:
    """Make an array of a list of numbers, NaN of what is null."""
    if not isinstance(value, list) or name == "metrics":
        return tuple(value) if isinstance(value, list) else value
    found = np.array(value, np.int64 if name in ("groups", "same") else np.float64)
    return found.reshape(-1, 5) if name == "groups" else found
