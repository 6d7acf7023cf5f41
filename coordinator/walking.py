"""What is walked in the place of each item of the schedule, where a run goes on without some sites.

The schedule itself does not change: an item keeps its place, and a site that is away from one on drops out
of it. So who was away is a short list, [(trial, item of the trial, sites that are away from there on)], a
commit's place means the same whoever is here, and a run that is given the list walks as the one did that
wrote it.

A site that is away

- has no batch, no turn and no share in a joint step, and is in no average: weights are those of the others;
- is not scored in validation: a round's loss is that of the records of who is here;
- begins every trial of the grid like all others, and otherwise stays as it is;
- catches up when it is back (`catching_up`), at the beginning of a round.

Class weights stay those of all sites' counts, and SCAFFOLD and FedNova keep what they know of it.

Parts that are handed on are with their holder alone. Where a run may lose it, they go to everyone who is here
before each commit, with their optimizer's state: whoever is left at that commit can go on with them.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from coordinator.schedule import (
    Average,
    Batch,
    Begin,
    HandOn,
    Item,
    JointBatch,
    LocalRound,
    Validate,
    schedule,
)
from coordinator.specs import Away, Run

HANDING_ON: Final = ("split", "cyclic")


@dataclass(frozen=True, slots=True)
class CatchUp:
    """A site that was away goes on from what another one has."""

    trial: int
    round: int
    giver: int
    takers: tuple[int]
    optimizer: bool = True


@dataclass(frozen=True, slots=True)
class Walked:
    """An item (None: the schedule's end), who is away in it, and what is done in its place.

    It is the place-th of the schedule, and `at` counts within its trial: (trial, item). A commit of this
    number, if it is not 0, follows it.
    """

    place: int
    at: tuple[int, int]
    item: Item | None
    away: tuple[int, ...]
    back: tuple[CatchUp, ...]
    steps: tuple[Item, ...]
    commit: int


class Due:
    """Says after which items a commit is due: each round, and every so many steps within one."""

    def __init__(self, run: Run) -> None:
        """Count from the schedule's first item on, which all parties do alike."""
        self._steps, self._since, self._number = run.commit_steps, 0, 0

    def after(self, item: Item) -> int:
        """Give the number, from 1, of the commit that is due after an item, or 0."""
        self._since += isinstance(item, Batch | JointBatch)
        if not isinstance(item, Validate) and self._since < self._steps:
            return 0
        self._since = 0
        self._number += 1
        return self._number


def may_lose(run: Run) -> bool:
    """Say whether a run may go on without a site, or repeats one that did."""
    return run.on_loss.policy == "continue" or bool(run.away)


def hands_on(run: Run) -> bool:
    """Say whether one site at a time holds the sites' parts."""
    return run.algorithm in HANDING_ON and run.site_parts == "handed_on" and run.back == "single"


def keeps_apart(run: Run) -> bool:
    """Say whether the sites have nothing in common, so that one that is back needs nothing of another's."""
    return run.algorithm == "split" and run.site_parts == "private"


def away_at(away: Away, at: tuple[int, int]) -> tuple[int, ...]:
    """Give the sites that are away at an item (trial, item of the trial)."""
    found: tuple[int, ...] = ()
    for trial, item, sites in away:
        if (trial, item) <= at:
            found = sites
    return found


def changed(away: Away, at: tuple[int, int], sites: tuple[int, ...]) -> Away:
    """Let these sites, and no others, be away from an item on; what was written for later is void."""
    before = tuple((trial, item, others) for trial, item, others in away if (trial, item) < at)
    return before if away_at(before, at) == sites else (*before, (*at, sites))


def within_trial(run: Run, records: tuple[int, ...], place: int) -> tuple[int, int]:
    """Give the trial and the item of the trial that stand at a place of the schedule."""
    return next(each.at for each in walked(run, records) if each.place == place)


def walked(run: Run, records: tuple[int, ...], away: Away = ()) -> Iterator[Walked]:
    """Give what is done, item by item; one without an item stands at the end, where sites may come back.

    Args:
        run: the resolved run.
        records: training records of each hospital, in site order.
        away: who is away, from which item on.
    """
    due, holding, everyone = Due(run), Holding(run), range(len(records))
    gone: tuple[int, ...] = ()
    at, before, place = (0, -1), (-1, -1), -1
    for place, item in enumerate(schedule(run, records)):
        at = (item.trial, 0) if isinstance(item, Begin) else (at[0], at[1] + 1)
        now = away_at(away, at)
        back, gone = _back(before, gone, now, len(records)), now
        before, number = (item.trial, getattr(item, "round", -1)), due.after(item)
        steps = _without(item, gone, records) if gone else (item,)
        if may_lose(run):
            steps = holding.around(item, steps, number, tuple(each for each in everyone if each not in gone))
        yield Walked(place, at, item, gone, back, steps, number)
    at = (at[0], at[1] + 1)
    now = away_at(away, at)
    yield Walked(place + 1, at, None, now, _back(before, gone, now, len(records)), (), 0)


class Holding:
    """Follows parts that are handed on: with one site alone, or with everyone who is here."""

    def __init__(self, run: Run) -> None:
        """Begin with everyone."""
        self._applies, self._holder = hands_on(run), -1

    def around(
        self, item: Item, steps: tuple[Item, ...], commit: int, here: tuple[int, ...]
    ) -> tuple[Item, ...]:
        """Give steps with the parts handed on before and after them, in the place of the schedule's own."""
        if not self._applies or isinstance(item, HandOn):
            return () if self._applies else steps
        before: tuple[Item, ...] = ()
        if isinstance(item, Begin):
            self._holder = -1
        elif isinstance(item, Batch) and steps:
            before = self._to((item.site,), item)
            self._holder = item.site
        elif isinstance(item, Validate):
            before = self._to(here, item)
            self._holder = -1
        after: tuple[Item, ...] = ()
        if commit:
            after = self._to(here, item)
            self._holder = -1
        return (*before, *steps, *after)

    def _to(self, sites: tuple[int, ...], item: Item) -> tuple[Item, ...]:
        takers = tuple(site for site in sites if site != self._holder)
        if self._holder < 0 or not takers or isinstance(item, Begin):
            return ()
        return (HandOn(item.trial, item.round, self._holder, takers, optimizer=True),)


def _back(
    at: tuple[int, int], before: tuple[int, ...], now: tuple[int, ...], sites: int
) -> tuple[CatchUp, ...]:
    """Let those that are back catch up with the first site that stayed; before all began there is nothing."""
    stayed = [site for site in range(sites) if site not in (*before, *now)]
    return tuple(CatchUp(*at, stayed[0] if stayed else -1, (site,)) for site in before if site not in now)


def _without(item: Item, gone: tuple[int, ...], records: tuple[int, ...]) -> tuple[Item, ...]:
    match item:
        case Batch(site=site):
            return () if site in gone else (item,)
        case JointBatch(batches=batches):
            left = tuple(each for each in batches if each.site not in gone)
            return (replace(item, batches=left),) if left else ()
        case Average(sites=sites) | LocalRound(sites=sites):
            here = tuple(site for site in sites if site not in gone)
            return (replace(item, sites=here),) if any(records[site] for site in here) else ()
    return (item,)


def has_trained(run: Run, records: tuple[int, ...], away: Away, site: int, until: tuple[int, int]) -> bool:
    """Say whether a site has had a batch in a trial until a round (trial, round) of it."""
    return any(
        isinstance(step, Batch) and step.site == site
        for each in walked(run, records, away)
        if each.item and each.item.trial == until[0] and getattr(each.item, "round", -1) <= until[1]
        for item in each.steps
        for step in (item.batches if isinstance(item, JointBatch) else (item,))
    )
