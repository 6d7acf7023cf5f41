"""How strategies differ in the primary metric, and whether that is more than noise.

The difference is the mean over seeds on the same patients. Seeds are to it what readers are to a reader
study, so its variance is Obuchowski & Rockette's (1995) with Hillis's degrees of freedom (2007): the
covariance of two seeds' differences, by the bootstrap over patients that all seeds and strategies share,
and the spread of the seeds' own differences, divided by their number. That spread holds what is seed and
patient together, so the first part must not: the bootstrap's variance of the mean over seeds would count
it twice; but the whole is never less than it, as it would be where seeds agree by chance. Two seeds that
disagree give a wide interval.
"""

from typing import Any, Final, Literal, NamedTuple

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student

from coordinator.comparison.estimates import ALL, STRATIFIED, Estimate, Estimates, Rows
from coordinator.comparison.predictions import TaskScores
from coordinator.comparison.weighted import Floats
from coordinator.metrics import PRIMARY

Verdict = Literal["equivalent", "worse", "better", "inconclusive", "identical"]
SEEDS: Final = 3  # from so many on the spread of seeds is taken as it is
SECONDARY: Final = "auroc_stratified"


class Effect(NamedTuple):
    """A difference of two strategies with its standard errors; NaN where undefined."""

    difference: float
    se_patients: float
    se_seeds: float
    freedom: float
    seeds: int


def effect(one: Estimate, other: Estimate) -> Effect:
    """Compare two estimates of the same metric on the same resamples and seeds."""
    if any(value.value is None for value in (*one.values, *other.values)):
        return Effect(np.nan, np.nan, np.nan, np.nan, len(one.values))
    by_seed = np.array([a.value for a in one.values], float) - np.array(
        [b.value for b in other.values], float
    )
    resampled = one.resampled - other.resampled
    return effect_of(by_seed, *_over_patients(resampled), freedom=resampled.shape[1] - 1)


def effect_of(by_seed: Floats, shared: float, least: float, *, freedom: float) -> Effect:
    """Put together the seeds' differences (seeds,) and what is known of the patients' part.

    Args:
        by_seed: the difference with each seed.
        shared: the mean covariance of two seeds' differences.
        least: the variance of their mean, over patients alone.
        freedom: of these two.
    """
    seeds = len(by_seed)
    over_seeds = by_seed.var(ddof=1) / seeds if seeds > 1 else 0.0
    shared = float(np.max([0.0, shared, least - over_seeds]))  # NaN stays NaN
    # where the seeds agree more than patients alone let them, the whole is the bootstrap's, and as certain
    apart = 0.0 if seeds == 1 or shared + over_seeds <= least else over_seeds
    uncertain = shared**2 / freedom + (apart**2 / (seeds - 1) if apart else 0.0)
    return Effect(
        float(by_seed.mean()),
        float(np.sqrt(shared)),
        float(np.sqrt(over_seeds)),
        float((shared + over_seeds) ** 2 / uncertain if apart else freedom),
        seeds,
    )


def _over_patients(resampled: Floats) -> tuple[float, float]:
    """Give two seeds' mean covariance over resamples (seeds, resamples), and the variance of their mean."""
    usable = resampled[:, np.isfinite(resampled).all(axis=0)]
    if usable.shape[1] < 2:
        return float("nan"), float("nan")
    covariance = np.atleast_2d(np.cov(usable))
    seeds, of_mean = len(covariance), float(covariance.mean())
    if seeds == 1:
        return of_mean, of_mean
    return float((covariance.sum() - covariance.trace()) / (seeds * (seeds - 1))), of_mean


def interval(found: Effect, level: float) -> tuple[float, float]:
    """Give the two-sided interval of a difference.

    From three seeds on Student's with Satterthwaite's degrees of freedom; of two, whose spread may well be
    small by chance, the parts' own half-widths are added in squares (Graybill & Wang 1980), which is too wide
    rather than too narrow: it holds the truth 98 times in 100. `python -m tests.simulation` counts that.
    """
    tail = 0.5 + level / 2
    if found.seeds >= SEEDS or found.seeds == 1:
        half = student.ppf(tail, found.freedom) * np.hypot(found.se_patients, found.se_seeds)
    else:
        own = student.ppf(tail, found.seeds - 1) * found.se_seeds
        half = np.hypot(norm.ppf(tail) * found.se_patients, own)
    return float(found.difference - half), float(found.difference + half)


def verdict(found: Effect, margin: float) -> Verdict:
    """Judge: equivalent if the 90 % interval lies inside the margin, else by the 95 % interval and 0."""
    low, high = interval(found, 0.90)
    if -margin < low and high < margin:
        return "equivalent"
    low, high = interval(found, 0.95)
    if high < 0:
        return "worse"
    return "better" if low > 0 else "inconclusive"


def pairs_of(
    task: str, strategies: list[str], reference: str, identical: dict[str, str]
) -> list[tuple[str, str]]:
    """Name what is compared: each strategy with the reference, and each twin with its twin."""
    twins = {s: identical[f"{task}/{s}"] for s in strategies if f"{task}/{s}" in identical}
    found = [(s, reference) for s in strategies if s != reference and reference in strategies]
    return found + [(s, twin) for s, twin in twins.items() if (s, twin) not in found and twin in strategies]


def difference_rows(
    scores: TaskScores, estimates: Estimates, *, reference: str, margin: float, identical: dict[str, str]
) -> tuple[Rows, Rows, Rows]:
    """List the verdicts, the effects behind them, and what was expected to be identical and is not."""
    verdicts: Rows = []
    effects: Rows = []
    surprises: Rows = []
    for strategy, other in pairs_of(scores.task, list(estimates), reference, identical):
        pair = {"task": scores.task, "strategy": strategy, "reference": other}
        found = effect(estimates[strategy][ALL, PRIMARY], estimates[other][ALL, PRIMARY])
        judged = verdict(found, margin)
        if are_twins(scores.task, strategy, other, identical):
            if _same(scores, strategy, other):
                judged = "identical"
            else:
                surprises.append(surprise(scores.task, strategy, other))
        verdicts.append({**pair, "metric": PRIMARY, **rounded(found), "margin": margin, "verdict": judged})
        effects.append({**pair, "metric": PRIMARY, **detail(found)})
        secondary = effect(estimates[strategy][STRATIFIED, PRIMARY], estimates[other][STRATIFIED, PRIMARY])
        effects.append({**pair, "metric": SECONDARY, **detail(secondary)})
    return verdicts, effects, surprises


def are_twins(task: str, one: str, other: str, identical: dict[str, str]) -> bool:
    """Say whether two strategies must give the same bits."""
    names = {name: identical.get(f"{task}/{name}", name) for name in (one, other)}
    return names[one] == names[other]


def _same(scores: TaskScores, one: str, other: str) -> bool:
    found = scores.scores
    return all(np.array_equal(found[one][seed], found[other][seed]) for seed in found[one])


def surprise(task: str, strategy: str, other: str) -> dict[str, Any]:
    """Say that what must be identical is not."""
    reason = f"expected to equal {other} bit for bit, and its scores differ; please report this as a defect"
    return {
        "task": task, "strategy": strategy, "seed": None, "site": ALL, "metric": "identical",
        "reason": reason,
    }  # fmt: skip


def rounded(found: Effect) -> dict[str, float | None]:
    """Give a difference with its 90 % interval."""
    low, high = interval(found, 0.90)
    return known({"difference": found.difference, "ci_low": low, "ci_high": high})


def detail(found: Effect) -> dict[str, float | None]:
    """Give a difference with its parts and both intervals."""
    (low_90, high_90), (low_95, high_95) = interval(found, 0.90), interval(found, 0.95)
    return known({
        **found._asdict(), "low_90": low_90, "high_90": high_90, "low_95": low_95, "high_95": high_95,
    })  # fmt: skip


def known(values: dict[str, Any]) -> dict[str, float | None]:
    """Write None for what is not a number."""
    return {name: None if np.isnan(value) else value for name, value in values.items()}
