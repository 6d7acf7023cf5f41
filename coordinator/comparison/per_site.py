"""What leaves a site where no score does: estimates of its own, and what they give together.

A site works out its AUROCs by strategy and seed and their covariances (DeLong 1988, Obuchowski 1997), and
counts its scores in groups of bins by outcome; only these leave, with n. The study's value is the sites'
mean, weighted by positive x negative records.
"""

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from coordinator.comparison import binned, delong
from coordinator.comparison.differences import Effect, effect_of, interval, known
from coordinator.comparison.estimates import Rows
from coordinator.comparison.predictions import TaskScores
from coordinator.metrics import Labels, auroc

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
HIDDEN: Final = -1  # a count of patients too few to tell
Runs = list[tuple[str, int]]  # strategy and seed
NO_GROUPS: Final = np.zeros((0, 5), np.int64)


@dataclass(frozen=True)
class SiteEstimates:
    """All that a site tells of its test records' AUROC; NaN where a run has none there."""

    n: int  # records, patients, and records with the outcome; `HIDDEN` where they are of too few patients
    patients: int
    events: int
    areas: Floats  # (runs,)
    covariance: Floats  # (runs, runs)
    groups: Integers  # (groups, 5): run, outcome, first bin, the bin after the last, records
    same: Integers  # (runs,) the first run with the same scores, bit for bit


def estimates_of(label: Labels, patient: Integers, scores: Floats, min_cell: int) -> SiteEstimates:
    """Work out what a site tells of its records: scores (runs, n)."""
    runs = len(scores)
    nothing = np.full((runs, runs), np.nan)
    same = np.array([next(j for j in range(runs) if _equal(scores[i], scores[j])) for i in range(runs)])
    told = SiteEstimates(HIDDEN, HIDDEN, HIDDEN, nothing[0], nothing, NO_GROUPS, same)
    patients, classes = len(np.unique(patient)), [len(np.unique(patient[label == k])) for k in (0, 1)]
    if 0 < patients < min_cell:
        return told
    told = replace(told, n=len(label), patients=patients)
    if any(0 < count < min_cell for count in classes):
        return told
    finite = np.flatnonzero(np.isfinite(scores).all(axis=1))
    told = replace(
        told, events=int(label.sum()), groups=_groups(label, patient, scores, finite, min_cell)
    )  # fmt: skip
    return _ranked(told, label, patient, scores, finite) if all(classes) and len(finite) else told


def together(sites: list[SiteEstimates], runs: list[int]) -> tuple[Floats, Floats]:
    """Give the study's AUROCs of some runs (runs,) and their covariances, from sites with both outcomes."""
    pairs = np.array([site.events * (site.n - site.events) for site in sites], float)
    weights = pairs / pairs.sum()
    areas = np.stack([site.areas[runs] for site in sites])
    covariances = np.stack([site.covariance[np.ix_(runs, runs)] for site in sites])
    return weights @ areas, np.tensordot(weights**2, covariances, 1)


def with_both(sites: list[SiteEstimates]) -> list[SiteEstimates]:
    """Keep the sites whose records have both outcomes, and tell."""
    return [site for site in sites if site.events != HIDDEN and 0 < site.events < site.n]


def pooled_of(sites: list[SiteEstimates], run: int) -> tuple[float, float]:
    """Give a run's AUROC of all told sites' records together, and how far off it may be; NaN: undefined."""
    told = [site for site in sites if site.events != HIDDEN]
    if any(site.n and not (site.groups[:, 0] == run).any() for site in told):
        return np.nan, np.nan  # the run has no score there
    own = [[site.groups[(site.groups[:, :2] == (run, k)).all(axis=1), 2:] for site in told] for k in (0, 1)]
    return binned.pooled(np.array([site.areas[run] for site in told]), own[1], own[0])


def effect_from(sites: list[SiteEstimates], one: list[int], other: list[int]) -> Effect:
    """Compare two strategies, given the places of their runs by seed."""
    both = with_both(sites)
    if not both:
        return Effect(np.nan, np.nan, np.nan, np.nan, len(one))
    areas, covariance = together(both, [*one, *other])
    seeds = len(one)
    contrast = np.hstack([np.eye(seeds), -np.eye(seeds)])
    own = contrast @ covariance @ contrast.T
    least = float(own.mean())
    shared = float((own.sum() - own.trace()) / (seeds * (seeds - 1))) if seeds > 1 else least
    freedom = float(sum(site.patients for site in both))
    return effect_of(contrast @ areas, shared, least, freedom=freedom)


def per_site_rows(scores: TaskScores, pairs: list[tuple[str, str]], min_cell: int) -> Rows:
    """List each pair's stratified difference, and its first strategy's pooled AUROC, had no score left."""
    runs: Runs = [(name, seed) for name, by_seed in scores.scores.items() for seed in by_seed]
    every = np.stack([scores.scores[name][seed] for name, seed in runs])
    members = [np.flatnonzero(scores.site == i) for i, _ in enumerate(scores.sites)]
    sites = [
        estimates_of(scores.label[each], scores.patient[each], every[:, each], min_cell) for each in members
    ]
    rows = [pair_row(scores.task, runs, sites, pair) for pair in pairs] if with_both(sites) else []
    for row in rows:
        told = np.isin(scores.site, [i for i, site in enumerate(sites) if site.events != HIDDEN])
        row["pooled"] = None if row["binned"] is None else _exact(scores, row["strategy"], told)
    return rows


def pair_row(task: str, runs: Runs, sites: list[SiteEstimates], pair: tuple[str, str]) -> dict[str, Any]:
    """Say what sites' estimates give for a pair of strategies; None is undefined."""
    mine, theirs = ([place for place, (name, _) in enumerate(runs) if name == each] for each in pair)
    found = effect_from(sites, mine, theirs)
    low, high = interval(found, 0.90)
    areas = np.array([pooled_of(sites, place) for place in mine]).mean(axis=0)
    return {
        "task": task, "strategy": pair[0], "reference": pair[1],
        **known({"difference": found.difference, "low_90": low, "high_90": high}),
        **known({"binned": float(areas[0]), "bound": float(areas[1])}),
        "pooled": None, "bins": binned.SCORE_BINS,
    }  # fmt: skip


def _exact(scores: TaskScores, strategy: str, told: NDArray[np.bool_]) -> float | None:
    """Rank the records of the sites that tell, all together."""
    found = [auroc(scores.label[told], score[told]).value for score in scores.scores[strategy].values()]
    known = [value for value in found if value is not None]
    return float(np.mean(known)) if len(known) == len(found) else None


def _equal(one: Floats, other: Floats) -> bool:
    return np.array_equal(one, other, equal_nan=True)


def _groups(
    label: Labels, patient: Integers, scores: Floats, finite: Integers, min_cell: int
) -> Integers:  # fmt: skip
    found = [NO_GROUPS]
    for run in finite.tolist():
        for outcome in (0, 1):
            inside = label == outcome
            own = binned.grouped(scores[run][inside], patient[inside], min_cell)
            found.append(np.column_stack([np.full((len(own), 2), (run, outcome)), own]))
    return np.concatenate(found)


def _ranked(
    told: SiteEstimates, label: Labels, patient: Integers, scores: Floats, finite: Integers
) -> SiteEstimates:
    placed = np.stack([delong.placements(label, scores[run]) for run in finite])
    areas, covariance = told.areas.copy(), told.covariance.copy()
    areas[finite] = placed[:, label == 1].mean(axis=1)
    covariance[np.ix_(finite, finite)] = delong.covariance(label, patient, placed)
    return replace(told, areas=areas, covariance=covariance)
