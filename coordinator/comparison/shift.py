"""How far each site's patients are from all other sites' together: standardised differences.

P. C. Austin, Balance diagnostics for comparing the distribution of baseline covariates between treatment
groups in propensity-score matched samples, Statistics in Medicine 28 (2009), section 3: the difference of two
means over the root of the mean of the two variances; for a share p the variance is p (1 - p).
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

from coordinator.comparison.cohort import Summaries
from coordinator.comparison.estimates import Rows

OUTCOME = "outcome"  # a measure of its own: no variable's name is taken for it


class Spread(NamedTuple):
    """Some patients: how many, and the mean and variance of something; a share's variance is p (1 - p)."""

    n: int
    mean: float
    variance: float


class Item(NamedTuple):
    """What is compared: a variable's mean, the share of a word, who lacks it, or the outcome's share."""

    task: str
    variable: str
    kind: str
    measure: str
    level: str | None


def shift_rows(summaries: Summaries, table1: Rows) -> Rows:
    """List the standardised difference of each site from the others, for all that sites tell of."""
    found: dict[Item, dict[str, Spread]] = {}
    for item, site, spread in (*_outcomes(summaries), *_told(summaries, table1)):
        found.setdefault(item, {})[site] = spread
    return [
        {**item._asdict(), "site": site, "difference": difference(spread, others)}
        for item, spreads in found.items()
        for site, spread in spreads.items()
        if (others := together([each for name, each in spreads.items() if name != site], item.measure))
    ]


def difference(one: Spread, other: Spread) -> float | None:
    """Give the standardised difference; None where neither varies and yet they differ."""
    apart, pooled = one.mean - other.mean, math.sqrt((one.variance + other.variance) / 2)
    smallest = 1e-12 * max(abs(one.mean), abs(other.mean))
    if pooled > smallest:
        return apart / pooled
    return 0.0 if abs(apart) <= smallest else None


def together(parts: list[Spread], measure: str) -> Spread | None:
    """Give mean and variance of several groups of patients as one group's; None of nobody."""
    n, freedom = (
        sum(part.n for part in parts),
        int(measure == "mean"),
    )  # a sample's variance, a share's p (1 - p)
    if not n:
        return None
    mean = sum(part.n * part.mean for part in parts) / n
    squares = sum((part.n - freedom) * part.variance + part.n * (part.mean - mean) ** 2 for part in parts)
    return Spread(n, mean, squares / max(n - freedom, 1))


def _outcomes(summaries: Summaries) -> Iterator[tuple[Item, str, Spread]]:
    for (task, site), found in summaries.items():
        if found.get("events") is not None and found["records"]:
            item = Item(task, OUTCOME, OUTCOME, OUTCOME, None)
            yield item, site, _share(found["records"], found["events"] / found["records"])


def _told(summaries: Summaries, table1: Rows) -> Iterator[tuple[Item, str, Spread]]:
    for row in table1:
        site, level, share = row["site"], row["level"], row["share"]
        item = Item(row["task"], row["variable"], row["kind"], "share", level)
        if level is None and row["mean"] is not None and row["patients"]:
            yield item._replace(measure="mean"), site, Spread(row["patients"], row["mean"], row["std"] ** 2)
        if level is None and share is not None:
            everyone = summaries[row["task"], site]["patients"]
            yield item._replace(measure="missing"), site, _share(everyone, share)
        if level is not None and share is not None:
            yield item, site, _share(row["patients"], share)


def _share(n: int, p: float) -> Spread:
    return Spread(n, p, p * (1 - p))
