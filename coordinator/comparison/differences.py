"""How strategies differ in the primary metric, and whether that is more than noise.

The difference is the mean over seeds on the same patients. Its variance has two parts: over patients,
from the bootstrap of that mean (all seeds and strategies share the resamples), and over seeds, from
the spread of the seeds' own differences. The interval is Student's, with Satterthwaite's degrees of
freedom (1946), so that two seeds that disagree give a wide one.
"""

from typing import Any, Final, Literal, NamedTuple

import numpy as np
from scipy.stats import t as student

from coordinator.comparison.estimates import ALL, STRATIFIED, Estimate, Estimates, Rows
from coordinator.comparison.predictions import TaskScores
from coordinator.metrics import PRIMARY

Verdict = Literal["equivalent", "worse", "better", "inconclusive", "identical"]
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
    over_patients = np.nanvar((one.resampled - other.resampled).mean(axis=0), ddof=1)
    seeds, resamples = one.resampled.shape
    over_seeds = by_seed.var(ddof=1) / seeds if seeds > 1 else 0.0
    parts = over_patients**2 / (resamples - 1) + (over_seeds**2 / (seeds - 1) if seeds > 1 else 0.0)
    freedom = (over_patients + over_seeds) ** 2 / parts if parts else float(resamples - 1)
    return Effect(
        float(by_seed.mean()),
        float(np.sqrt(over_patients)),
        float(np.sqrt(over_seeds)),
        float(freedom),
        seeds,
    )


def interval(found: Effect, level: float) -> tuple[float, float]:
    """Student's two-sided interval of a difference."""
    half = student.ppf(0.5 + level / 2, found.freedom) * np.hypot(found.se_patients, found.se_seeds)
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
        if _twins(scores.task, strategy, other, identical):
            if _same(scores, strategy, other):
                judged = "identical"
            else:
                surprises.append(_surprise(scores.task, strategy, other))
        verdicts.append({**pair, "metric": PRIMARY, **_rounded(found), "margin": margin, "verdict": judged})
        effects.append({**pair, "metric": PRIMARY, **_detail(found)})
        secondary = effect(estimates[strategy][STRATIFIED, PRIMARY], estimates[other][STRATIFIED, PRIMARY])
        effects.append({**pair, "metric": SECONDARY, **_detail(secondary)})
    return verdicts, effects, surprises


def _twins(task: str, one: str, other: str, identical: dict[str, str]) -> bool:
    names = {name: identical.get(f"{task}/{name}", name) for name in (one, other)}
    return names[one] == names[other]


def _same(scores: TaskScores, one: str, other: str) -> bool:
    found = scores.scores
    return all(np.array_equal(found[one][seed], found[other][seed]) for seed in found[one])


def _surprise(task: str, strategy: str, other: str) -> dict[str, Any]:
    reason = f"expected to equal {other} bit for bit, and its scores differ; please report this as a defect"
    return {
        "task": task, "strategy": strategy, "seed": None, "site": ALL, "metric": "identical",
        "reason": reason,
    }  # fmt: skip


def _rounded(found: Effect) -> dict[str, float | None]:
    low, high = interval(found, 0.90)
    return _known({"difference": found.difference, "ci_low": low, "ci_high": high})


def _detail(found: Effect) -> dict[str, float | None]:
    (low_90, high_90), (low_95, high_95) = interval(found, 0.90), interval(found, 0.95)
    return _known({
        **found._asdict(), "low_90": low_90, "high_90": high_90, "low_95": low_95, "high_95": high_95,
    })  # fmt: skip


def _known(values: dict[str, Any]) -> dict[str, float | None]:
    return {name: None if np.isnan(value) else value for name, value in values.items()}
