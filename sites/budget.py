"""How much a run has released so far, over all its attempts, against a policy's limits."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from coordinator.config import Limits
from coordinator.errors import ConfigError
from sites.ledger import HELLO, RESENT, WENT_ON


@dataclass(frozen=True)
class Spent:
    """What left in a run: bytes of all messages, rounds with repeats, and how often it went back."""

    bytes: int = 0
    rounds: int = 0
    rollbacks: int = 0
    at: tuple[int, ...] = ()  # the trial and round of the last release; empty where an attempt begins
    restarted: bool = False  # and it has not yet said from where it goes on

    def after(self, kind: str, place: tuple[int, ...], size: int, *, again: bool = False) -> "Spent":
        """Give what it is with one more line of the ledger; what is sent again after a cut is bytes alone."""
        if again:
            return replace(self, bytes=self.bytes + size)
        if kind == WENT_ON:
            return replace(self, rollbacks=self.rollbacks + 1, at=(), restarted=False)
        more = replace(self, bytes=self.bytes + size)
        if kind == HELLO:
            return replace(more, at=(), restarted=self.rounds > 0)
        if len(place) < 4 or place[0] < 0 or place[:2] == self.at:  # the final scoring is of no round
            return more
        back = self.rollbacks + self.restarted  # to the beginning: there was no commit to go on from
        return replace(more, rounds=self.rounds + 1, rollbacks=back, at=place[:2], restarted=False)


def spent_in(entries: Iterable[Mapping[str, Any]], spec: str) -> Spent:
    """Add up a ledger's lines as far as they are of one spec (its hash)."""
    spent, mine = Spent(), False
    for entry in entries:
        if entry["kind"] == HELLO and RESENT not in entry:
            mine = entry.get("spec") == spec
        if mine:
            place = tuple(entry["position"])
            spent = spent.after(entry["kind"], place, entry["bytes"], again=RESENT in entry)
    return spent


def check_limits(limits: Limits, spent: Spent, what: str) -> None:
    """Refuse what would go over a limit.

    Raises:
        ConfigError: naming the limit.
    """
    for name in Limits.model_fields:
        most, found = getattr(limits, name), getattr(spent, name)
        if most is not None and found > most:
            raise ConfigError(
                f"the release gate refused {what}: with it, this run's {name} would be {found} over all its "
                f"attempts, and the policy's limits.{name} is {most}; nothing was sent"
            )
