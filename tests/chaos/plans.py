"""A fault plan: what goes wrong, with whom and when; drawn from (seed, number), to be replayed."""

from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np

from coordinator.draws import key

PARTIES: Final = ("coordinator", "north", "south")
SITES: Final = PARTIES[1:]
KINDS: Final = ("kill", "kill_all", "stop", "cut", "half_close", "delay", "fill")
Kind = Literal["kill", "kill_all", "stop", "cut", "half_close", "delay", "fill"]
Policy = Literal["wait", "abort", "continue"]
# how long a killed site stays away under `continue`, where a few seconds are waited
LONGEST_ABSENCE: Final = 25.0
# how much of what an undisturbed site sends has passed its proxy when the fault comes
LATEST: Final = 0.95


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong, once `share` of the bytes of `site` have gone up, counting repeats.

    A killed site is started again `seconds` later, everybody else at once.
    """

    kind: Kind
    victim: str
    site: str
    share: float
    seconds: float = 0.0

    def words(self) -> str:
        """Say what, with whom, when, and for how long a site stays away."""
        lasting = f" for {self.seconds:.0f} s" if self.seconds else ""
        return f"{self.kind} {self.victim} at {self.share:.2f} of {self.site}{lasting}"


@dataclass(frozen=True)
class Plan:
    """A run of one strategy, and its faults in the order in which they come."""

    number: int
    strategy: str
    policy: Policy
    faults: tuple[Fault, ...]

    def words(self) -> str:
        """Say it in a line."""
        what = "; ".join(each.words() for each in self.faults)
        return f"plan {self.number}: {self.strategy}, {self.policy}: {what}"


def draw(seed: int, number: int, strategies: tuple[str, ...]) -> Plan:
    """Draw a plan; every strategy comes up in turn."""
    draws = np.random.default_rng(key(seed, "chaos", number))
    drawn = draws.random()
    policy: Policy = "abort" if drawn < 0.2 else "continue" if drawn < 0.5 else "wait"
    shares = np.sort(draws.uniform(0.0, LATEST, size=int(draws.integers(1, 4))))
    faults = tuple(_fault(draws, float(share)) for share in shares)
    if policy == "continue":
        faults = tuple(replace(each, seconds=float(draws.uniform(0.0, LONGEST_ABSENCE))) for each in faults)
    return Plan(number, strategies[number % len(strategies)], policy, faults)


def _fault(draws: np.random.Generator, share: float) -> Fault:
    kind: Kind = KINDS[int(draws.integers(len(KINDS)))]
    site = SITES[int(draws.integers(len(SITES)))]
    victim = PARTIES[int(draws.integers(len(PARTIES)))] if kind in ("kill", "stop", "fill") else site
    return Fault(kind, "everyone" if kind == "kill_all" else victim, site, share)
