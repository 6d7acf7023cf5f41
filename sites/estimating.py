"""A site's side of an estimation: what it tells of the scores it kept, never a score."""

import argparse
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np

from coordinator.algorithms.estimating import site_estimate
from coordinator.comparison.per_site import HIDDEN, estimates_of
from coordinator.comparison.predictions import Table, TaskScores, read_site
from coordinator.comparison.site_metrics import metrics_of, nothing_of
from coordinator.errors import DataError
from coordinator.protocol.messages import Done, Estimated
from coordinator.specs import Estimation
from sites.client import Keys
from sites.kept_scores import run_of

HEARD_LIMIT: Final = 1024 * 1024  # bytes; the coordinator sends no arrays


def take_part(options: argparse.Namespace, keys: Keys) -> None:
    """Estimate from the kept scores of every run, and send that."""
    spec = keys.read(Estimation)
    told = estimate(spec, options.site)
    channel, _ = keys.open(spec, HEARD_LIMIT)
    keys.enter(channel, spec)
    site_estimate(told, channel)
    channel.leave(Done({}, {}))


def estimate(spec: Estimation, site: str) -> Estimated:
    """Put together all that this site tells.

    Raises:
        DataError: kept scores are missing, are another run's, or are not all of the same records.
    """
    kept = read_kept(spec, site)
    scores = as_scores(spec, site, kept)
    every = np.stack([each for by_seed in scores.scores.values() for each in by_seed.values()])
    found = metrics_of(
        scores, min_cell=spec.min_cell, specificity=spec.specificity, resamples=spec.bootstrap,
        keyed=(spec.split_seed, spec.task, site),
    )  # fmt: skip
    told = estimates_of(scores.label, scores.patient, every, spec.min_cell)
    if told.events == HIDDEN:
        found = nothing_of(
            found, f"not told: fewer than {spec.min_cell} patients with the outcome, or without"
        )
    return Estimated(**asdict(told), **asdict(found))


def read_kept(spec: Estimation, site: str) -> dict[str, Table]:
    """Read the scores that this site kept of each run; none of one that may have gone on without it.

    Raises:
        DataError: a file is missing, or is another run's.
    """
    found = {}
    for run, path in spec.scores[site].items():
        if not Path(path).is_file():
            if run.split("/")[0] in spec.away:
                continue
            raise DataError(
                f"{path}: site '{site}' kept no scores of {run} there; give the run's `--state` folder this "
                "place, or run it again"
            )
        if run_of(Path(path)) != spec.runs[run]:
            raise DataError(f"{path}: the scores are of another run than {run} is now; run it again")
        found[run] = read_site(Path(path))
    return found


def as_scores(spec: Estimation, site: str, kept: Mapping[str, Table]) -> TaskScores:
    """Lay the runs' scores side by side; a run that went on without this site scored nothing: NaN.

    Raises:
        DataError: no run scored here, or two scored different records.
    """
    if not kept:
        raise DataError(f"site '{site}' kept no scores of any run of {spec.task}")
    first = next(iter(kept.values()))
    for run, table in kept.items():
        if any(not np.array_equal(table[name], first[name]) for name in ("record", "patient", "label")):
            raise DataError(f"{run}: its test records differ from those of the other runs; run it again")
    nothing, by_strategy = np.full(len(first["record"]), np.nan), dict[str, dict[int, Any]]()
    for run in spec.runs:
        name, seed = run.split("/")
        by_strategy.setdefault(name, {})[int(seed)] = kept[run]["score"] if run in kept else nothing
    away: dict[str, tuple[str, ...]] = {run.split("/")[0]: (site,) for run in spec.runs if run not in kept}
    none = np.zeros(len(first["record"]), np.int64)
    return TaskScores(spec.task, (site,), none, first["patient"], first["label"], by_strategy, away=away)
