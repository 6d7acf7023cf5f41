"""An outcome of several classes, estimated: every class against the rest, and the mean over classes."""

from dataclasses import replace
from typing import Final

import numpy as np

from coordinator.comparison.class_metrics import METRICS, measure, of_class, weighted_metrics
from coordinator.comparison.estimates import (
    ALL,
    STRATIFIED,
    Estimates,
    Place,
    Rows,
    places_of,
    stack,
    summary_rows,
    unavailable,
)
from coordinator.comparison.predictions import TaskScores
from coordinator.comparison.resampling import Weights
from coordinator.comparison.subgroups import small
from coordinator.comparison.weighted import Floats
from coordinator.metrics import PRIMARY, Labels, Value

NO_SITE: Final = "no site has test records of the class and of others, of each class"
Found = tuple[Value, Floats, int]  # a value, its resamples, and of how many records


def estimate(scores: TaskScores, weights: Weights) -> Estimates:
    """Estimate all metrics for all strategies of a task on the same resamples of its patients."""
    estimates: Estimates = {}
    for strategy, by_seed in scores.scores.items():
        without = (scores.without_model.get(strategy, ()), scores.away.get(strategy, ()))
        places = stack([_one_run(scores, found, weights, without) for found in by_seed.values()])
        estimates[strategy] = {
            place: replace(each, ranks=place[1].startswith(PRIMARY)) for place, each in places.items()
        }
    return estimates


def class_rows(scores: TaskScores, estimates: Estimates, min_cell: int) -> Rows:
    """List each class's AUROC against the rest of all sites' test records, mean over seeds, and its records.

    How many they are is hidden where they are of fewer than `min_cell` patients, and of the next rarest class
    where that is the only one, since the whole is known.
    """
    patients = np.stack([scores.site, scores.patient])
    inside = {name: scores.label == number for number, name in enumerate(scores.classes)}
    counts = {name: len(np.unique(patients[:, own], axis=1).T) for name, own in inside.items()}
    hidden = small({name: count for name, count in counts.items() if count}, min_cell)
    values = {(row["strategy"], row["metric"]): row for row in summary_rows(scores.task, estimates)
              if row["site"] == ALL}  # fmt: skip
    return [
        {
            "task": scores.task, "strategy": strategy, "class": name, "n": len(scores.label),
            "records": None if hidden.get(name) else int(own.sum()), "hidden": hidden.get(name),
            **{each: values[strategy, of_class(name)][each] for each in ("value", "ci_low", "ci_high")},
            "reason": next((v.reason for v in found[ALL, of_class(name)].values if v.value is None), None),
        }
        for strategy, found in estimates.items()
        for name, own in inside.items()
    ]  # fmt: skip


def _one_run(
    scores: TaskScores, found: Floats, weights: Weights, without: tuple[tuple[str, ...], ...]
) -> dict[Place, Found]:
    places: dict[Place, Found] = {}
    drawn: dict[str, dict[str, Floats]] = {}
    for site, members in places_of(scores):
        label, score = scores.label[members], found[members]
        values = measure(label, score, scores.classes)
        if reason := unavailable(site, without):
            values = dict.fromkeys(values, Value(None, reason))
        drawn[site] = _resampled(label, score, weights[:, members])
        own = drawn[site] | dict(zip(map(of_class, scores.classes), drawn[site]["areas"].T, strict=True))
        places |= {(site, name): (value, own[name], len(label)) for name, value in values.items()}
    places[STRATIFIED, PRIMARY] = _stratified(scores, places, drawn)
    return places


def _resampled(label: Labels, score: Floats, weights: Weights) -> dict[str, Floats]:
    if len(label) and np.isfinite(score).all():
        return weighted_metrics(label, score, weights)
    nothing, by_class = np.full(len(weights), np.nan), np.full((len(weights), score.shape[1]), np.nan)
    return {**dict.fromkeys(METRICS, nothing), "areas": by_class, "pairs": by_class}


def _stratified(scores: TaskScores, places: dict[Place, Found], drawn: dict[str, dict[str, Floats]]) -> Found:
    """Average each class's AUROCs over sites, weighted by pairs of records, and these over classes."""
    areas, pairs = (np.stack([drawn[site][name] for site in scores.sites]) for name in ("areas", "pairs"))
    with np.errstate(invalid="ignore"):
        resampled = np.nansum(areas * pairs, axis=0) / np.nansum(pairs, axis=0)  # (resamples, classes)
    whole, reason = places[ALL, PRIMARY], places[ALL, PRIMARY][0].reason
    if reason:
        return Value(None, reason), np.full(len(resampled), np.nan), 0
    means = [_over_sites(scores, places, number) for number in range(len(scores.classes))]
    if any(np.isnan(mean) for mean in means):
        return Value(None, NO_SITE), np.full(len(resampled), np.nan), 0
    return Value(float(np.mean(means))), resampled.mean(axis=1), whole[2]


def _over_sites(scores: TaskScores, places: dict[Place, Found], number: int) -> float:
    total, weight = 0.0, 0
    for place, site in enumerate(scores.sites):
        value, inside = places[site, of_class(scores.classes[number])][0].value, scores.label == number
        if value is not None:
            own = int((inside & (scores.site == place)).sum())
            pairs = own * (int((scores.site == place).sum()) - own)
            total, weight = total + value * pairs, weight + pairs
    return total / weight if weight else float("nan")
