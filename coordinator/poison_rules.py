"""Which defences against false updates mean anything for a strategy, and for so many sites."""

from math import ceil
from typing import Final

from coordinator.config import Strategy
from coordinator.errors import ConfigError
from coordinator.presets import Axes

FEWEST: Final = 3  # the median of two is their mean
# rules that are no mean of the sites' models, or keep a memory that is one
UNDEFINED: Final = {
    "scaffold": "its control variates are means over the sites, by which a false update would come in again",
    "fednova": "it weighs each site's change by its steps, and a median has no weights",
}


def trimmed(sites: int, share: float) -> int:
    """Count the sites that a trimmed mean leaves out at either end: a share, rounded up."""
    return ceil(share * sites - 1e-9)  # 0.1 of 30 is no more than 3


def check_poison(label: str, axes: Axes, strategy: Strategy, sites: tuple[str, ...]) -> None:
    """Refuse an aggregate or norms that are not defined or bound nothing.

    Args:
        label: of the strategy.
        axes: of the strategy.
        strategy: as the study has it.
        sites: those that train.

    Raises:
        ConfigError: the first problem, with its reason.
    """
    problems = {
        "aggregate": _of_aggregate(axes, strategy, len(sites)),
        "trimmed_share": _of_share(axes, strategy),
        "norms": _of_norms(axes, strategy),
    }
    for key, problem in problems.items():
        if problem:
            raise ConfigError(problem, key=f"strategies.{label}.{key}")


def _averages(axes: Axes) -> bool:
    return axes["algorithm"] == "federated" or "averaged" in (axes.get("site_parts"), axes.get("back"))


def _of_aggregate(axes: Axes, strategy: Strategy, sites: int) -> str | None:
    if strategy.aggregate is not None and not _averages(axes):
        return "it is of what is averaged, and nothing is: parts are in one place, or add up; remove it"
    how = axes.get("aggregate", "mean")
    if how == "mean":
        return None
    if axes.get("rule") in UNDEFINED:
        return f"{axes['rule']} is not defined with {how}: {UNDEFINED[axes['rule']]}; use fedavg, or mean"
    share = strategy.participation
    least = max(1, round(share * sites)) if not isinstance(share, str) else sites
    if least < FEWEST:
        return f"{how} needs {FEWEST} sites in a round to tell a false one from the others, here are {least}"
    if how == "trimmed_mean" and 2 * trimmed(least, axes["trimmed_share"]) >= least:
        left_out = trimmed(least, axes["trimmed_share"])
        return (
            f"trimming {left_out} at either end leaves none of {least} sites in a round; lower trimmed_share"
        )
    return None


def _of_share(axes: Axes, strategy: Strategy) -> str | None:
    if strategy.trimmed_share is not None and axes["aggregate"] != "trimmed_mean":
        return "only a trimmed mean leaves out a share; set aggregate: trimmed_mean, or remove it"
    return None


def _of_norms(axes: Axes, strategy: Strategy) -> str | None:
    norms = strategy.norms
    if norms.update is not None and not _averages(axes):
        return "nothing is averaged, so that there is no update to measure; remove norms.update"
    if norms.gradient is not None and axes["algorithm"] != "split":
        return "only split learning sends gradients step by step; remove norms.gradient"
    if norms.action == "report":
        return None
    if not _averages(axes) and axes["algorithm"] != "split":
        return f"nothing comes from the sites that could be told to {norms.action}; remove norms"
    if axes.get("rule") == "scaffold" and norms.action == "clip":
        return (
            "scaffold reads each site's mean gradient off the distance its model moved, and a clipped update "
            "is another; set norms.action: drop"
        )
    if axes.get("back") == "joint":
        return (
            "a joint step is one backward pass over all sites' records, out of which one site's cannot be "
            "taken; set norms.action: report"
        )
    return None
