"""How much a run has released so far, over all its attempts, against a policy's limits."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from coordinator.config import Limits
from coordinator.errors import ConfigError
from sites.ledger import HELLO, RESENT, WENT_ON

ACTIVATIONS: Final = "Activations"


class Visits(Protocol):
    """Counts releases by record (`sites.visits`, which needs torch)."""

    def after(self, place: Sequence[int]) -> int: ...  # noqa: D102
    def add(self, place: Sequence[int]) -> None: ...  # noqa: D102
    def count(self, place: Sequence[int]) -> int: ...  # noqa: D102


@dataclass(frozen=True)
class Spent:
    """What left in a run: bytes of all messages, rounds and steps with repeats, how often it went back."""

    bytes: int = 0
    rounds: int = 0
    steps: int = 0
    releases_per_record: int = 0  # of the record that left most often
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
        if len(place) < 4 or place[0] < 0:  # the final scoring is of no round
            return more
        more = replace(more, steps=self.steps + (kind == ACTIVATIONS and place[3] >= 0))
        if place[:2] == self.at:
            return more
        back = self.rollbacks + self.restarted  # to the beginning: there was no commit to go on from
        return replace(more, rounds=self.rounds + 1, rollbacks=back, at=place[:2], restarted=False)


class Account:
    """What a run has released so far, and what it may."""

    def __init__(self, limits: Limits, spent: Spent, visits: Visits | None = None) -> None:
        """Go on from what was spent; ``visits`` have counted the same releases by record."""
        self._limits, self._spent, self._visits = limits, spent, visits

    def spend(self, kind: str, place: tuple[int, ...], size: int, what: str, *, again: bool = False) -> None:
        """Count a release; what is sent `again` after a cut is bytes alone.

        Raises:
            ConfigError: with it a limit would be gone over, which is named.
        """
        spent = self._spent.after(kind, place, size, again=again)
        visits = self._visits if kind == ACTIVATIONS and not again else None
        if visits:
            spent = replace(spent, releases_per_record=visits.after(place))
        check_limits(self._limits, spent, what)
        self._spent = spent
        if visits:
            visits.add(place)


def account_of(
    limits: Limits, entries: Iterable[Mapping[str, Any]], spec: str, visits: Visits | None = None
) -> Account:
    """Add up a ledger's lines of one spec; what is counted by record, too, where ``visits`` know records."""
    spent = Spent()
    for entry in of_spec(entries, spec):
        spent = after(spent, entry)
        if visits and entry["kind"] == ACTIVATIONS and RESENT not in entry:
            visits.add(entry["position"])
    return Account(limits, spent, visits)


def after(spent: Spent, entry: Mapping[str, Any]) -> Spent:
    """Give what was spent with one more line of the ledger."""
    return spent.after(entry["kind"], tuple(entry["position"]), entry["bytes"], again=RESENT in entry)


def of_spec(entries: Iterable[Mapping[str, Any]], spec: str) -> Iterator[Mapping[str, Any]]:
    """Give the lines of a ledger that are of one spec (its hash)."""
    mine = False
    for entry in entries:
        if entry["kind"] == HELLO and RESENT not in entry:
            mine = entry.get("spec") == spec
        if mine:
            yield entry


def spent_in(entries: Iterable[Mapping[str, Any]], spec: str) -> Spent:
    """Add up a ledger's lines as far as they are of one spec (its hash)."""
    spent = Spent()
    for entry in of_spec(entries, spec):
        spent = after(spent, entry)
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
