"""Every metric of every run at every site, with its interval: DeLong's of AUROC, else by bootstrap."""

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from coordinator.comparison import delong
from coordinator.comparison.predictions import TaskScores
from coordinator.comparison.resampling import Weights
from coordinator.comparison.weighted import Floats, weighted_metrics
from coordinator.metrics import METRICS, PRIMARY, Value, measure

USABLE: Final = 0.95  # share of the resamples in which a metric must be defined for an interval
ALL: Final = "all"
STRATIFIED: Final = "stratified"
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Estimate:
    """One metric at one place: a value and its resamples for each seed."""

    values: tuple[Value, ...]  # by seed
    resampled: Floats  # (seeds, resamples), NaN where undefined
    n: int  # records
    variance: Floats | None = None  # AUROC: (seeds + 1,), each seed's and that of the mean over seeds
    ranks: bool = False  # an AUROC by bootstrap: a perfect ranking has no interval


Place = tuple[str, str]  # site, `all` or `stratified`; metric
Estimates = dict[str, dict[Place, Estimate]]  # by strategy


def estimate(scores: TaskScores, weights: Weights, specificity: float = 0.9) -> Estimates:
    """Estimate all metrics for all strategies of a task on the same resamples of its patients."""
    found: dict[bytes, dict[Place, Estimate]] = {}  # twins have the same scores: one result
    estimates: Estimates = {}
    for strategy, by_seed in scores.scores.items():
        lacking = scores.without_model.get(strategy, ())
        away = scores.away.get(strategy, ())
        same = b"".join(score.tobytes() for score in by_seed.values()) + repr((lacking, away)).encode()
        if same not in found:
            runs = [
                _one_run(scores, score, weights, (lacking, away), specificity) for score in by_seed.values()
            ]
            found[same] = _with_variances(scores, list(by_seed.values()), stack(runs))
        estimates[strategy] = found[same]
    return estimates


def comparison_rows(task: str, seeds: dict[str, tuple[int, ...]], estimates: Estimates) -> Rows:
    """List one row per run, place and metric, with the 95 % interval over patients."""
    return [
        {"task": task, "strategy": strategy, "seed": seed, "site": site, "metric": metric,
         "value": found.values[i].value, **_interval(found, i),
         "n": found.n}
        for strategy, places in estimates.items()
        for i, seed in enumerate(seeds[strategy])
        for (site, metric), found in places.items()
    ]  # fmt: skip


def summary_rows(task: str, estimates: Estimates) -> Rows:
    """List means over seeds: the interval is over patients, low and high are the seeds' extremes."""
    rows: Rows = []
    for strategy, places in estimates.items():
        for (site, metric), found in places.items():
            known = [value.value for value in found.values if value.value is not None]
            complete = len(known) == len(found.values)
            rows.append({
                "task": task, "strategy": strategy, "site": site, "metric": metric,
                "value": float(np.mean(known)) if complete else None,
                **_interval(found, None),
                "seed_low": min(known) if complete else None, "seed_high": max(known) if complete else None,
                "n": found.n, "seeds": len(found.values),
            })  # fmt: skip
    return rows


def reason_rows(task: str, seeds: dict[str, tuple[int, ...]], estimates: Estimates) -> Rows:
    """List why a metric has no value."""
    return [
        {
            "task": task,
            "strategy": strategy,
            "seed": seed,
            "site": site,
            "metric": metric,
            "reason": value.reason,
        }
        for strategy, places in estimates.items()
        for (site, metric), found in places.items()
        for seed, value in zip(seeds[strategy], found.values, strict=True)
        if value.value is None
    ]


def _one_run(
    scores: TaskScores,
    found: Floats,
    weights: Weights,
    without: tuple[tuple[str, ...], ...],
    specificity: float,
) -> dict[Place, tuple[Value, Floats, int]]:
    places: dict[Place, tuple[Value, Floats, int]] = {}
    pairs = {}
    for site, members in places_of(scores):
        label, score = scores.label[members], found[members]
        values = measure(label, score, specificity)
        if reason := unavailable(site, without):
            values = dict.fromkeys(METRICS, Value(None, reason))
        drawn = _resampled(label, score, weights[:, members], specificity)
        pairs[site] = drawn["pairs"]
        places |= {(site, metric): (values[metric], drawn[metric], len(label)) for metric in METRICS}
    places[STRATIFIED, PRIMARY] = _stratified(scores, places, pairs)
    return places


def unavailable(site: str, without: tuple[tuple[str, ...], ...]) -> str:
    """Say why a place has no scores, given who had no model of theirs and who was away; empty: it has."""
    lacking, away = ([name for name in names if site in (name, ALL)] for names in without)
    if away:
        return f"not available: {' and '.join(away)} was away when the run ended"
    return f"not available: no part was trained at {' and '.join(lacking)}, held out" if lacking else ""


def places_of(scores: TaskScores) -> list[tuple[str, NDArray[np.int64]]]:
    """Name each site and all of them, with the numbers of their records."""
    own = [(name, np.flatnonzero(scores.site == i)) for i, name in enumerate(scores.sites)]
    return [*own, (ALL, np.arange(len(scores.label)))]


def _resampled(
    label: NDArray[np.int64], score: Floats, weights: Weights, specificity: float
) -> dict[str, Floats]:
    if len(label) == 0 or not np.isfinite(score).all():
        return {name: np.full(len(weights), np.nan) for name in [*METRICS, "pairs"]}
    return weighted_metrics(label, score, weights, specificity)


def _stratified(
    scores: TaskScores, places: dict[Place, tuple[Value, Floats, int]], pairs: dict[str, Floats]
) -> tuple[Value, Floats, int]:
    """Average the sites' AUROCs with weights n_pos * n_neg, so no two hospitals' patients are compared."""
    undefined = np.full(len(pairs[ALL]), np.nan)
    if not np.isfinite(pairs[ALL]).all():
        return Value(None, places[ALL, PRIMARY][0].reason), undefined, 0
    known = {
        site: places[site, PRIMARY] for site in scores.sites if places[site, PRIMARY][0].value is not None
    }
    if not known:
        return Value(None, "no site has both classes"), undefined, 0
    weights = [_pairs(scores.label[scores.site == scores.sites.index(site)]) for site in known]
    value = np.average([found[0].value or 0.0 for found in known.values()], weights=weights)
    drawn = np.stack([pairs[site] for site in known])  # (sites, resamples): a resample has pairs of its own
    # a site whose resample lost a class has no pair there, and so no weight
    ranked = np.stack([np.nan_to_num(found[1]) for found in known.values()])
    with np.errstate(invalid="ignore"):
        resampled = (ranked * drawn).sum(axis=0) / drawn.sum(axis=0)
    return Value(float(value)), resampled, sum(found[2] for found in known.values())


def _pairs(label: NDArray[np.int64]) -> int:
    positive = int(label.sum())
    return positive * (len(label) - positive)


def stack(runs: list[dict[Place, tuple[Value, Floats, int]]]) -> dict[Place, Estimate]:
    """Put the seeds' values and resamples of each place together."""
    return {
        place: Estimate(
            tuple(run[place][0] for run in runs), np.stack([run[place][1] for run in runs]), runs[0][place][2]
        )
        for place in runs[0]
    }


def _with_variances(
    scores: TaskScores, found: list[Floats], places: dict[Place, Estimate]
) -> dict[Place, Estimate]:
    _, patient = np.unique(np.stack([scores.site, scores.patient]), axis=1, return_inverse=True)
    variances = {
        site: _variances(
            scores.label[members], patient.reshape(-1)[members], [each[members] for each in found]
        )
        for site, members in places_of(scores)
    }
    pairs = {site: _pairs(scores.label[members]) for site, members in places_of(scores) if site != ALL}
    whole = max(1, sum(pairs.values()))
    variances[STRATIFIED] = np.sum(
        [(pairs[site] / whole) ** 2 * variances[site] for site in pairs if pairs[site]], axis=0
    ) * np.ones(len(found) + 1)  # fmt: skip
    return places | {
        (site, PRIMARY): replace(places[site, PRIMARY], variance=each) for site, each in variances.items()
    }


def _variances(label: NDArray[np.int64], patient: NDArray[np.int64], found: list[Floats]) -> Floats:
    if not _pairs(label) or not np.isfinite(found).all():
        return np.full(len(found) + 1, np.nan)
    placed = [delong.placements(label, score) for score in found]
    return np.array(
        [delong.variance(label, patient, each) for each in (*placed, np.mean(placed, axis=0))]
    )  # fmt: skip


def _interval(found: Estimate, seed: int | None) -> dict[str, float | None]:
    """Give a seed's 95 % interval, or that of the mean over seeds."""
    values = found.values if seed is None else found.values[seed : seed + 1]
    if any(value.value is None for value in values):
        return {"ci_low": None, "ci_high": None}
    if found.variance is not None:
        mean = float(np.mean([value.value for value in values if value.value is not None]))
        low, high = delong.interval(mean, found.variance[-1 if seed is None else seed])
        return {"ci_low": low, "ci_high": high}
    resampled = found.resampled.mean(axis=0) if seed is None else found.resampled[seed]
    usable = resampled[np.isfinite(resampled)]
    if len(usable) < USABLE * len(resampled):
        return {"ci_low": None, "ci_high": None}
    low, high = np.quantile(usable, [0.025, 0.975])
    if found.ranks and low == high:
        return {"ci_low": None, "ci_high": None}
    return {"ci_low": float(low), "ci_high": float(high)}
