"""How patients without natural sites are dealt to sites: by size, by outcome, by a variable, or evenly.

Label skew follows Hsu 2019 (a site's outcomes are drawn from a Dirichlet around the whole's), quantity
skew Li 2022 (the sites' sizes are drawn from a Dirichlet); together, the sizes are drawn first. Feature skew
decides who goes where, not how many: sizes and outcomes stay what they are without it.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import norm, rankdata

from coordinator.config import Partition
from coordinator.draws import key
from coordinator.errors import ConfigError

SMALLEST = 20  # patients every site gets before anything is skewed, where there are enough
FEWEST = 10  # patients with, and without, the outcome that every site gets, where there are enough
Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def partition(
    outcomes: Integers,
    sites: Sequence[str],
    skew: Partition,
    seed: int,
    purpose: str,
    shift: Floats | None = None,
) -> dict[str, Integers]:
    """Deal patients to sites.

    Args: `outcomes` is 0 or 1, or a class's number, per patient (n,); `purpose` keys the draw beside the
    seed; `shift` is the variable that feature skew follows (n,), NaN where unknown: the first site tends to
    its lowest values.
    Returns each site's patients as sorted indices; every patient goes to exactly one site.

    Raises:
        ConfigError: there are fewer patients than sites, or feature skew has no variable to follow.
    """
    if len(outcomes) < len(sites):
        raise ConfigError(
            f"{len(outcomes)} patients cannot be dealt to {len(sites)} sites; raise data.records"
        )
    if skew.feature_skew is not None and shift is None:
        raise ConfigError(
            f"'{purpose}' names no variable that patients could be ordered by; remove it",
            key="data.partition.feature_skew",
        )
    draw = np.random.default_rng(key(seed, "deal", purpose))
    sizes = _sizes(len(outcomes), len(sites), skew.quantity_skew, draw)
    counts = _by_class(sizes, np.bincount(outcomes, minlength=2), skew.label_skew, draw)
    order = _order(len(outcomes), skew.feature_skew, shift, draw)
    hands = zip(
        *(
            np.split(order(np.flatnonzero(outcomes == value)), np.cumsum(own)[:-1])
            for value, own in counts.items()
        ),
        strict=True,
    )
    return {site: np.sort(np.concatenate(hand)) for site, hand in zip(sites, hands, strict=True)}


def largest_remainder(shares: Floats, total: int) -> Integers:
    """Round real shares that add up to `total` to integers that do (Hare's method; ties to the first)."""
    counts = np.floor(shares).astype(np.int64)
    order = np.argsort(counts - shares, kind="stable")
    counts[order[: total - int(counts.sum())]] += 1
    return counts


def _order(
    patients: int, skew: float | None, shift: Floats | None, draw: np.random.Generator
) -> Callable[[Integers], Integers]:
    """Make the function that puts patients in the order they are dealt in: drawn, or by a noisy rank."""
    if skew is None or shift is None:
        return draw.permutation
    known = np.isfinite(shift)
    place = np.full(patients, 0.5)  # who has no value stands in the middle
    place[known] = (rankdata(shift[known]) - 0.5) / max(int(known.sum()), 1)
    score = skew * norm.ppf(place) + draw.standard_normal(patients)
    return lambda group: group[np.argsort(score[group], kind="stable")]


def _sizes(patients: int, sites: int, skew: float | None, draw: np.random.Generator) -> Integers:
    smallest = min(SMALLEST, patients // sites)
    shares = np.full(sites, 1 / sites) if skew is None else draw.dirichlet(np.full(sites, skew))
    rest = patients - sites * smallest
    return smallest + largest_remainder(shares * rest, rest)


def _by_class(
    sizes: Integers, totals: Integers, skew: float | None, draw: np.random.Generator
) -> dict[int, Integers]:
    """Say how many patients of each class every site gets, the last class first.

    One class against those before it at a time: of a Dirichlet's shares that is a beta each, whose
    concentration is what the shares so far have left of the whole's.
    """
    counts: dict[int, Integers] = {}
    for value in range(len(totals) - 1, 0, -1):
        left = float(totals[: value + 1].sum() / totals.sum())
        whole = None if skew is None else len(totals) * skew * left
        counts[value] = _events(sizes, int(totals[value]), whole, draw)
        sizes = sizes - counts[value]
    return {**counts, 0: sizes}


def _events(sizes: Integers, events: int, skew: float | None, draw: np.random.Generator) -> Integers:
    """Divide a class's patients; `skew` is the concentration of its share and the others' together."""
    patients = int(sizes.sum())
    fewest = min(FEWEST, events // len(sizes), (patients - events) // len(sizes), int(sizes.min()) // 2)
    free, left = sizes - 2 * fewest, events - fewest * len(sizes)
    if left in (0, int(free.sum())):
        return fewest + (free if left else np.zeros_like(free))
    mean = events / patients
    rates = np.full(len(sizes), mean)
    if skew is not None:
        # for classes as frequent as each other this is the symmetric Dirichlet
        rates = draw.beta(skew * mean, skew * (1 - mean), size=len(sizes)).clip(1e-3, 1 - 1e-3)
    # drawn rates rarely add up to the events there are: one factor on all odds makes them
    odds = logit(rates)
    shift = brentq(lambda by: float(free @ expit(odds + by)) - left, -50.0, 50.0)
    return fewest + largest_remainder(free * expit(odds + shift), left)
