"""What releases tell about one patient, added up: zero-concentrated differential privacy.

(Bun & Steinke 2016.) A record's release is clipped to C, so that replacing the record changes it by at most
2 C. With scale s, in clips, the noise s C makes one release

    gaussian   rho = (2 C)^2 / (2 (s C)^2) = 2 / s^2
    laplace    pure epsilon = 2 C / (s C) = 2 / s, and rho = epsilon^2 / 2

and any number of them adds up, also when later ones depend on earlier ones. Every record is released in every
epoch and the coordinator knows which, so nothing is amplified by sampling. Replacing a patient replaces all
of that patient's records, each under its own noise: their releases add up too.
"""

from dataclasses import dataclass
from math import log, sqrt

from coordinator.config import Privacy
from coordinator.participation import epochs_of, participants
from coordinator.specs import Run

MOST_SCALE = 1e9


@dataclass(frozen=True)
class Cost:
    """What has been told: rho of Gaussian releases; of pure ones, their epsilons and their rho."""

    rho: float = 0.0
    pure: float = 0.0
    pure_rho: float = 0.0

    def __add__(self, other: "Cost") -> "Cost":
        """Compose."""
        return Cost(self.rho + other.rho, self.pure + other.pure, self.pure_rho + other.pure_rho)

    def times(self, count: float) -> "Cost":
        """Compose as many of the same."""
        return Cost(self.rho * count, self.pure * count, self.pure_rho * count)

    def epsilon(self, delta: float) -> float:
        """Give the least epsilon at a delta: all as rho, or pure ones added to the others' epsilon."""
        return min(of_rho(self.rho + self.pure_rho, delta), self.pure + of_rho(self.rho, delta))


def of_rho(rho: float, delta: float) -> float:
    """Give rho + 2 sqrt(rho ln(1 / delta)) (Bun & Steinke 2016, proposition 1.3)."""
    return rho + 2 * sqrt(rho * log(1 / delta))


def noise_cost(mechanism: str, scale: float) -> Cost:
    """Give the cost of one release of a record under noise of so many clips."""
    if mechanism == "gaussian":
        return Cost(rho=2 / scale**2)
    return pure_cost(2 / scale)


def pure_cost(epsilon: float) -> Cost:
    """Give the cost of one epsilon-private release (proposition 1.4)."""
    return Cost(pure=epsilon, pure_rho=epsilon**2 / 2)


def least_scale(
    mechanism: str, releases: float, epsilon: float, delta: float, also: Cost | None = None
) -> float:
    """Give the least noise, in clips, with which so many releases keep within a budget.

    Args: `also` is what else is told within the same budget.

    Raises:
        ValueError: nothing is left of the budget.
    """

    def fits(scale: float) -> bool:
        return ((also or Cost()) + noise_cost(mechanism, scale).times(releases)).epsilon(delta) <= epsilon

    low, high = 0.0, 1.0
    while not fits(high):
        low, high = high, 2 * high
        if high > MOST_SCALE:
            raise ValueError("nothing is left of the budget for activations")
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (low, middle) if middle and fits(middle) else (middle, high)
    return high


def planned_epochs(run: Run, site: int) -> int:
    """Count how often a training record of a site is released or trained on, over all trials and adapting."""
    rounds = sum(site in participants(run, each, len(run.sites)) for each in range(run.training.rounds))
    return rounds * epochs_in_round(run, site) * len(run.training.learning_rates) + run.adapt


def epochs_in_round(run: Run, site: int) -> int:
    """Count a site's passes over its records in a round; a joint step has no epochs of a site's own."""
    return run.training.local_epochs if run.back == "joint" else epochs_of(run, site)


def releases_per_visit(privacy: Privacy) -> int:
    """Count what leaves of a training record in a step: activations, and where labels stay a gradient."""
    return 2 if privacy.noise and privacy.noise.gradient_clip else 1


def noises_per_visit(privacy: Privacy) -> int:
    """Count the noises of one scale on what a record tells in a step; a step of DP-SGD has one as well."""
    return releases_per_visit(privacy) + (privacy.dp_sgd is not None)
