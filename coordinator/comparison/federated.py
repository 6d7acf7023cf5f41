"""The comparison where no score leaves a site: the study's value is the sites' mean (`per_site`).

What needs all sites' scores side by side is not told: curves, differences of the other metrics, an interval
of the pooled AUROC. Accuracy and the Brier score are means over records, and so the sites' means give them.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from coordinator.comparison import delong, differences, power
from coordinator.comparison.estimates import ALL, STRATIFIED, Rows
from coordinator.comparison.per_site import (
    HIDDEN,
    effect_from,
    pair_row,
    pooled_of,
    together,
    with_both,
)
from coordinator.comparison.predictions import has_own_model
from coordinator.comparison.site_metrics import NAMES
from coordinator.comparison.told import Told, read_told
from coordinator.metrics import METRICS, PRIMARY
from coordinator.specs import Evaluation

OVER_RECORDS: Final = ("accuracy", "brier")  # the mean over records is the sites' means'
NEEDS_SCORES: Final = "not told: it needs all sites' scores together, and none leaves"
FEW: Final = "not told: a site has no value, or keeps it"


def task_rows(spec: Evaluation, results: Path, task: str) -> dict[str, Rows]:
    """Make a task's tables from what its sites told.

    Raises:
        ConfigError: their estimates are missing.
        DataError: they are of other runs.
    """
    told = read_told(spec, results, task)
    by_run = list(_by_run(told))
    verdicts, effects, surprises = difference_rows(spec, told)
    pairs = differences.pairs_of(task, told.strategies, spec.study.reference, {})
    return {
        "comparison.csv": [
            {name: value for name, value in row.items() if name != "reason"} for row in by_run
        ],
        "differences.csv": verdicts,
        "figures/summary.csv": list(_summary(told, by_run)),
        "figures/per_site.csv": [pair_row(task, told.runs, told.estimates, pair) for pair in pairs],
        "figures/effects.csv": effects,
        "figures/reasons.csv": [*_reasons(spec, by_run), *surprises],
        "figures/power.csv": _power(spec, told, pairs),
    }


def difference_rows(spec: Evaluation, told: Told) -> tuple[Rows, Rows, Rows]:
    """List the verdicts, the effects behind them, and what was expected to be identical and is not."""
    verdicts: Rows = []
    effects: Rows = []
    surprises: Rows = []
    margin, identical = spec.study.tasks[told.task].margin, spec.identical
    pairs = differences.pairs_of(told.task, told.strategies, spec.study.reference, identical)
    for one, other in pairs:
        pair = {"task": told.task, "strategy": one, "reference": other, "metric": differences.SECONDARY}
        mine, theirs = told.runs_of(one), told.runs_of(other)
        found = effect_from(told.estimates, mine, theirs)
        judged: str = differences.verdict(found, margin)
        if differences.are_twins(told.task, one, other, identical):
            if all((site.same[mine] == site.same[theirs]).all() for site in told.estimates):
                judged = "identical"
            else:
                surprises.append(differences.surprise(told.task, one, other))
        verdicts.append({**pair, **differences.rounded(found), "margin": margin, "verdict": judged})
        effects.append({**pair, **differences.detail(found)})
    return verdicts, effects, surprises


def _by_run(told: Told) -> Iterator[dict[str, Any]]:
    """List each run at each place, with the reason why a metric has no value."""
    for run, (strategy, seed) in enumerate(told.runs):
        place = {"task": told.task, "strategy": strategy, "seed": seed}
        for name, site, own in zip(told.sites, told.estimates, told.metrics, strict=True):
            for metric, numbers in zip(NAMES, own.values[run], strict=True):
                why = own.reasons.get(f"{run}/{metric}", "")
                yield {**place, "site": name, "metric": metric, **_values(*numbers), "n": _count(site.n),
                       "reason": why}  # fmt: skip
        for site_name, metric, numbers, n, why in _over_sites(told, run):
            yield {**place, "site": site_name, "metric": metric, **_values(*numbers), "n": n, "reason": why}


def _over_sites(told: Told, run: int) -> Iterator[tuple[str, str, tuple[float, ...], int, str]]:
    counted = sum(site.n for site in told.estimates if site.n != HIDDEN)
    ranked = sum(site.n for site in told.estimates if site.events != HIDDEN)
    for metric in METRICS:
        value, why, n = np.nan, NEEDS_SCORES, counted
        if metric == PRIMARY:
            value, why, n = pooled_of(told.estimates, run)[0], FEW, ranked
        elif metric in OVER_RECORDS:
            own = np.array([each.values[run, NAMES.index(metric), 0] for each in told.metrics])
            there = np.array([site.n for site in told.estimates], float)
            value, why = float((own[there != 0] * there[there != 0]).sum() / there.sum()), FEW
        yield ALL, metric, (value, np.nan, np.nan), n, why
    yield STRATIFIED, PRIMARY, *_stratified(told, [run])


def _stratified(told: Told, runs: list[int]) -> tuple[tuple[float, ...], int, str]:
    """Give the mean over runs of the sites' mean AUROC with its 95 % interval, and the records behind it."""
    both = with_both(told.estimates)
    if not both:
        return (np.nan,) * 3, 0, "no site has both classes"
    areas, covariance = together(both, runs)
    area, variance = float(areas.mean()), float(covariance.mean())
    low, high = delong.interval(area, variance) if np.isfinite(area) else (None, None)
    numbers = (area, np.nan if low is None else low, np.nan if high is None else high)
    return numbers, sum(site.n for site in both), "undefined at a site, whose row says why"


def _summary(told: Told, by_run: Rows) -> Iterator[dict[str, Any]]:
    """List means over seeds; the interval is over patients, low and high are the seeds' extremes."""
    together_: dict[tuple[str, str, str], Rows] = {}
    for row in by_run:
        together_.setdefault((row["strategy"], row["site"], row["metric"]), []).append(row)
    for (strategy, site, metric), rows in together_.items():
        known = [row["value"] for row in rows if row["value"] is not None]
        complete = len(known) == len(rows)
        yield {
            "task": told.task, "strategy": strategy, "site": site, "metric": metric,
            "value": float(np.mean(known)) if complete else None,
            **_interval(told, strategy, site, metric),
            "seed_low": min(known) if complete else None, "seed_high": max(known) if complete else None,
            "n": rows[0]["n"], "seeds": len(rows),
        }  # fmt: skip


def _interval(told: Told, strategy: str, site: str, metric: str) -> dict[str, float | None]:
    ends: Any = (np.nan, np.nan)
    if site == STRATIFIED:
        ends = _stratified(told, told.runs_of(strategy))[0][1:]
    elif site != ALL:
        own = told.metrics[told.sites.index(site)]
        ends = own.means[told.strategies.index(strategy), NAMES.index(metric)]
    return differences.known({"ci_low": float(ends[0]), "ci_high": float(ends[1])})


def _reasons(spec: Evaluation, by_run: Rows) -> Rows:
    """List why a metric has no value; at a site that got no model, that it has none."""
    columns = ("task", "strategy", "seed", "site", "metric", "reason")
    rows = [{name: row[name] for name in columns} for row in by_run if row["value"] is None]
    for row in rows:
        run = spec.runs[f"{row['task']}/{row['strategy']}/{row['seed']}"]
        if row["site"] in spec.study.tasks[row["task"]].split.held_out and has_own_model(run):
            row["reason"] = f"not available: no part was trained at {row['site']}, held out"
    return rows


def _power(spec: Evaluation, told: Told, pairs: list[tuple[str, str]]) -> Rows:
    both = with_both(told.estimates)
    n, events = sum(site.n for site in both), sum(site.events for site in both)
    rows: Rows = []
    for one, other in pairs:
        margin = spec.study.tasks[told.task].margin
        found = effect_from(told.estimates, told.runs_of(one), told.runs_of(other))
        row: dict[str, Any] = {"task": told.task, "strategy": one, "reference": other, "n": n,
                               "events": events, "margin": margin}  # fmt: skip
        if not np.isnan(np.hypot(found.se_patients, found.se_seeds)):
            area = _stratified(told, told.runs_of(other))[0][0]
            row |= {"planned": power.planned(area, events, n - events),
                    "detectable": power.detectable(found), "chance": power.chance(found, margin)}  # fmt: skip
        rows.append(row)
    return rows


def _values(value: float, low: float, high: float) -> dict[str, float | None]:
    return differences.known({"value": float(value), "ci_low": float(low), "ci_high": float(high)})


def _count(n: int) -> int | None:
    return None if n == HIDDEN else n
