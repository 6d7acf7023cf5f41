"""How often verdicts and intervals are wrong, on studies whose true difference is known.

A record's score is its outcome times a strategy's skill, plus what is the record's own, plus what is the
seed's; so the true AUROC, over patients and seeds, has a closed form. ``python -m tests.simulation``
prints every scenario.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from coordinator.comparison.differences import effect, interval, verdict
from coordinator.comparison.estimates import Estimate
from coordinator.comparison.resampling import resample_patients
from coordinator.metrics import Value

Floats = NDArray[np.float64]
MARGIN, REFERENCE = 0.05, 0.85


class Scenario(NamedTuple):
    """A study: how many sites, records, seeds; how much seeds and (record, seed) pairs vary."""

    sites: int = 4
    records: int = 60  # of each site
    events: int = 18
    seeds: int = 5
    seed_sd: float = 0.1
    noise_sd: float = 0.3


class Errors(NamedTuple):
    """What came of the draws: shares between 0 and 1."""

    equivalent: float  # said though the true difference is the margin
    covered: float  # 95 % intervals that hold the true difference


SCENARIOS = {
    "five seeds": Scenario(),
    "five seeds that hardly differ": Scenario(seed_sd=0.0, noise_sd=0.5),
    "two seeds": Scenario(seeds=2),
    "one seed": Scenario(seeds=1, seed_sd=0.0),
    "many small sites": Scenario(sites=20, records=12, events=4, seeds=3),
    "few events": Scenario(sites=4, records=50, events=5, seeds=3),
}


def simulate(scenario: Scenario, draws: int, resamples: int = 400) -> Errors:
    """Draw studies whose true difference is the margin, and judge each as a report would."""
    label, weights = _layout(scenario, resamples)
    generator = np.random.default_rng(0)
    spread = np.sqrt(2 * (1 + scenario.noise_sd**2) + scenario.seed_sd**2)
    skills = [float(norm.ppf(auroc) * spread) for auroc in (REFERENCE - MARGIN, REFERENCE)]
    equivalent = covered = 0
    for _ in range(draws):
        own = generator.normal(size=len(label))
        one, other = (_estimate(label, _scores(scenario, generator, own, label, skill), weights)
                      for skill in skills)  # fmt: skip
        found = effect(one, other)
        low, high = interval(found, 0.95)
        covered += low <= -MARGIN <= high
        equivalent += verdict(found, MARGIN) == "equivalent"
    return Errors(equivalent / draws, covered / draws)


def weighted_auroc(label: NDArray[np.int64], score: Floats, weights: Floats) -> Floats:
    """Count pairs under each row of weights (resamples, n); quicker than sorting for few records."""
    positive, negative = label == 1, label == 0
    above = (score[positive][:, None] > score[negative]).astype(np.float64)
    up, down = weights[:, positive], weights[:, negative]
    return ((up @ above) * down).sum(axis=1) / (up.sum(axis=1) * down.sum(axis=1))


def _layout(scenario: Scenario, resamples: int) -> tuple[NDArray[np.int64], Floats]:
    site = np.repeat(np.arange(scenario.sites), scenario.records)
    label = np.tile((np.arange(scenario.records) < scenario.events).astype(np.int64), scenario.sites)
    patient = np.arange(len(label))
    weights = resample_patients(site, patient, label, resamples=resamples, keyed=("simulation",))
    return label, weights.astype(np.float64)


def _scores(
    scenario: Scenario, generator: np.random.Generator, own: Floats, label: NDArray[np.int64], skill: float
) -> list[Floats]:
    return [
        (skill + scenario.seed_sd * generator.normal()) * label
        + own
        + scenario.noise_sd * generator.normal(size=len(label))
        for _ in range(scenario.seeds)
    ]


def _estimate(label: NDArray[np.int64], scores: list[Floats], weights: Floats) -> Estimate:
    once = np.ones((1, len(label)))
    values = tuple(Value(float(weighted_auroc(label, score, once)[0])) for score in scores)
    return Estimate(values, np.stack([weighted_auroc(label, score, weights) for score in scores]), len(label))


def main() -> None:
    """Print every scenario's errors."""
    for name, scenario in SCENARIOS.items():
        found = simulate(scenario, 1000)
        print(f"{name}: equivalent {found.equivalent:.3f}, covered {found.covered:.3f}", flush=True)


if __name__ == "__main__":
    main()
