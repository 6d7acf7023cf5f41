"""What a study would say had no score left the sites: from each site's estimates alone.

A site works out its AUROCs by strategy and seed and their covariances (DeLong 1988, Obuchowski 1997), and
counts its scores in bins by outcome; only these leave, with n. The study's value is the sites' mean, weighted
by positive x negative records. From the bins comes a pooled AUROC, which is off by half the share of pairs
that fall into one bin, at most.
"""

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from coordinator.comparison import delong
from coordinator.comparison.differences import Effect, effect_of, interval, known
from coordinator.comparison.estimates import Rows
from coordinator.comparison.predictions import TaskScores
from coordinator.metrics import Labels, Scores, auroc

Floats = NDArray[np.float64]
SCORE_BINS: Final = 100
Runs = list[tuple[str, int]]  # strategy and seed


@dataclass(frozen=True)
class SiteEstimates:
    """All that leaves a site: one AUROC per run, their covariances, and binned scores by outcome."""

    n: int
    events: int
    bins: NDArray[np.int64]  # (runs, 2, bins)
    areas: Floats | None = None  # (runs,); None where the site has one class only
    covariance: Floats | None = None  # (runs, runs)


def estimates_of(label: Labels, patient: NDArray[np.int64], scores: Floats) -> SiteEstimates:
    """Work out what a site tells of its records: scores (runs, n)."""
    bins = np.stack([[_binned(score[label == outcome]) for outcome in (0, 1)] for score in scores])
    told = SiteEstimates(len(label), int(label.sum()), bins)
    if told.events in (0, told.n):
        return told
    placed = np.stack([delong.placements(label, score) for score in scores])
    areas = placed[:, label == 1].mean(axis=1)
    return replace(told, areas=areas, covariance=delong.covariance(label, patient, placed))


def together(sites: list[SiteEstimates]) -> tuple[Floats, Floats]:
    """Give the study's AUROCs (runs,) and their covariances (runs, runs) from the sites'."""
    pairs = np.array([site.events * (site.n - site.events) for site in sites], float)
    weights = pairs / pairs.sum()
    areas = np.stack([site.areas for site in sites if site.areas is not None])
    covariances = np.stack([site.covariance for site in sites if site.covariance is not None])
    return weights @ areas, np.tensordot(weights**2, covariances, 1)


def pooled_from_bins(bins: NDArray[np.int64]) -> tuple[float, float]:
    """Give the AUROC of all sites' records together from counts (2, bins), and how far off it may be."""
    negative, positive = bins.astype(float)
    pairs = negative.sum() * positive.sum()
    below = np.r_[0.0, negative.cumsum()[:-1]]
    tied = float((positive * negative).sum())
    return float(((positive * below).sum() + tied / 2) / pairs), tied / 2 / pairs


def effect_from(areas: Floats, covariance: Floats, one: list[int], other: list[int], *, sites: int) -> Effect:
    """Compare two strategies, given the places of their runs by seed."""
    contrast = np.zeros((len(one), len(areas)))
    for row, (mine, theirs) in enumerate(zip(one, other, strict=True)):
        contrast[row, mine], contrast[row, theirs] = 1.0, -1.0
    own = contrast @ covariance @ contrast.T
    seeds, least = len(own), float(own.mean())
    shared = float((own.sum() - own.trace()) / (seeds * (seeds - 1))) if seeds > 1 else least
    return effect_of(contrast @ areas, shared, least, freedom=float(sites))


def per_site_rows(scores: TaskScores, pairs: list[tuple[str, str]]) -> Rows:
    """List each pair's stratified difference, and its first strategy's pooled AUROC, from estimates alone."""
    runs: Runs = [(name, seed) for name, by_seed in scores.scores.items() for seed in by_seed]
    every = np.stack([scores.scores[name][seed] for name, seed in runs])
    if not np.isfinite(every).all():
        return []  # a run diverged, or a site has no model: reasons.csv says so
    members = [np.flatnonzero(scores.site == i) for i, _ in enumerate(scores.sites)]
    found = [estimates_of(scores.label[each], scores.patient[each], every[:, each]) for each in members]
    sites = [each for each in found if each.areas is not None]
    if not sites:
        return []
    areas, covariance = together(sites)
    patients = sum(len(np.unique(scores.patient[each])) for each in members)
    bins = np.sum([site.bins for site in found], axis=0)
    return [
        _row(scores, runs, pair, bins, effect_from(areas, covariance, *_places(runs, pair), sites=patients))
        for pair in pairs
    ]


def _places(runs: Runs, pair: tuple[str, str]) -> tuple[list[int], list[int]]:
    one, other = ([place for place, (name, _) in enumerate(runs) if name == each] for each in pair)
    return one, other


def _row(
    scores: TaskScores, runs: Runs, pair: tuple[str, str], bins: NDArray[np.int64], found: Effect
) -> dict[str, Any]:
    low, high = interval(found, 0.90)
    places = _places(runs, pair)[0]
    binned = [pooled_from_bins(bins[place]) for place in places]
    exact = [auroc(scores.label, score).value or 0.0 for score in scores.scores[pair[0]].values()]
    difference = known({"difference": found.difference, "low_90": low, "high_90": high})
    return {
        "task": scores.task, "strategy": pair[0], "reference": pair[1], **difference,
        "pooled": float(np.mean(exact)),
        "binned": float(np.mean([area for area, _ in binned])),
        "bound": float(np.mean([bound for _, bound in binned])), "bins": SCORE_BINS,
    }  # fmt: skip


def _binned(scores: Scores) -> NDArray[np.int64]:
    return np.histogram(scores, bins=SCORE_BINS, range=(0.0, 1.0))[0]
