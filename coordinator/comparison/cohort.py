"""Who the patients are: each site's prepared summary as rows."""

import hashlib
import json
from pathlib import Path
from typing import Any

from coordinator.comparison.estimates import Rows
from coordinator.errors import ConfigError, DataError
from coordinator.specs import Evaluation

Summaries = dict[tuple[str, str], dict[str, Any]]  # (task, site) -> prepared.json


def folders(spec: Evaluation) -> dict[tuple[str, str], Path]:
    """Name each task's and site's prepared folder, in the study's order."""
    return {
        (run.task, site): Path(run.prepared[site])
        for run in spec.runs.values()
        for site in run.sites
    }  # fmt: skip


def read_summaries(spec: Evaluation) -> Summaries:
    """Read every site's prepared.json.

    Raises:
        ConfigError: one is missing.
        DataError: one is not JSON.
    """
    return {place: _read(folder / "prepared.json") for place, folder in folders(spec).items()}


def hashes(spec: Evaluation) -> dict[str, str]:
    """Hash every prepared summary (sha256) by its folder's name."""
    return {
        folder.name: hashlib.sha256((folder / "prepared.json").read_bytes()).hexdigest()
        for folder in folders(spec).values()
    }


def cohort_rows(summaries: Summaries) -> dict[str, Rows]:
    """List the cohort, what was quarantined and why, values outside their limits, and the warnings.

    Faults of a file are counted as they are, however few: they say nothing about a patient who is used.
    """
    return {
        "figures/cohort.csv": [_row(task, site, found) for (task, site), found in summaries.items()],
        "figures/quarantine.csv": [
            {"task": task, "site": site, "reason": reason, "count": count, "share": count / _all_of(found)}
            for (task, site), found in summaries.items()
            for reason, count in found.get("quarantined", {}).items()
        ],
        "figures/outside.csv": [
            {"task": task, "site": site, "variable": variable, "count": count}
            for (task, site), found in summaries.items()
            for variable, count in found.get("outside", {}).items()
        ],
        "figures/warnings.csv": [
            {"task": task, "site": site, "warning": warning}
            for (task, site), found in summaries.items()
            for warning in found.get("warnings", [])
        ],
    }


def _all_of(found: dict[str, Any]) -> int:
    """Count a site's rows and files, usable or not."""
    return int(found.get("records", 0)) + sum(found["quarantined"].values())


def _row(task: str, site: str, found: dict[str, Any]) -> dict[str, Any]:
    roles, events = found.get("roles", {}), found.get("events")
    counts = {
        f"{role}_{what}": roles.get(role, {}).get(what, 0)
        for role in ("development", "test", "auxiliary")
        for what in ("records", "events")
    }
    return {
        "task": task, "site": site, "title": found.get("title") or site, "source": found.get("source"),
        "modalities": " ".join(found.get("modalities", [])), "features": len(found.get("features", [])),
        "records": found.get("records"), "patients": found.get("patients"), "events": events,
        "event_share": events / found["records"] if events is not None and found["records"] else None,
        **counts, "test_patients": roles.get("test", {}).get("patients", 0),
        "quarantined": sum(found.get("quarantined", {}).values()), "age_mean": found.get("age_mean"),
        "female_share": found.get("female_share"),
    }  # fmt: skip


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}); prepare the site first (snakemake does)"
        ) from None
    except ValueError as error:
        raise DataError(f"{path}: not JSON ({error}); remove the folder and prepare the site again") from None
    if not isinstance(found, dict):
        raise DataError(f"{path}: expected a summary with keys; remove the folder and prepare the site again")
    return found
