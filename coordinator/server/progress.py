"""How far a run is: events for the launcher, and the history that becomes the learning curve."""

import time
from collections import Counter
from collections.abc import Mapping
from math import inf, isfinite
from pathlib import Path
from typing import Any

from coordinator.algorithms.cohort import Cohort
from coordinator.algorithms.norms import Measured, take_measured
from coordinator.algorithms.party import Party, Validation
from coordinator.algorithms.selection import validation_loss
from coordinator.cost import bytes_of
from coordinator.protocol.channel import CoordinatorChannel
from coordinator.schedule import Batch, Item, JointBatch, LocalRound, Validate, steps_in
from coordinator.server.events import say
from coordinator.server.rows import Rows
from coordinator.specs import Run

SECONDS_BETWEEN_STEPS = 0.5


class Progress:
    """Sees every item of a run."""

    def __init__(
        self, run: Run, cohort: Cohort, channel: CoordinatorChannel, path: Path | None = None
    ) -> None:
        """Start the clock; what is old of the history goes to a file, where one is named."""
        self.history = Rows(path)
        self._outside = Counter[str]()
        self._run, self._channel = run, channel
        self._started, self._last, self._step = time.perf_counter(), 0.0, 0
        steps = steps_in(run, cohort.train)
        rounds, trials = run.training.rounds, len(run.training.learning_rates)
        self._steps_per_round = steps // (rounds * trials)
        name = f"{run.study}/{run.task}/{run.strategy}/{run.seed}"
        say(event="start", run=name, rounds=rounds, trials=trials, steps=steps)

    def begin(self) -> None:
        """Start the clock anew: from here on parties are trained, not waited for."""
        self._started = time.perf_counter()

    def state(self) -> dict[str, Any]:
        """Give the history, the steps and seconds so far."""
        rows, outside = self.history.state(), dict(self._outside)
        return {"history": rows, "outside": outside, "step": self._step, "seconds": self.seconds()}

    def load(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.history.load(state["history"])
        self._outside, self._step = Counter(state["outside"]), state["step"]
        self._started, self._last = time.perf_counter() - state["seconds"], 0.0

    def outside(self) -> dict[str, int]:
        """Count by site what was outside the norms so far; who sent nothing such is not named."""
        return dict(self._outside)

    def seconds(self) -> float:
        """Give the wall seconds since the start."""
        return time.perf_counter() - self._started

    def see(self, item: Item, party: Party) -> None:
        """Take note of a finished item."""
        match item:
            case Batch() | JointBatch():
                self._step += 1
                if self.seconds() > self._last + SECONDS_BETWEEN_STEPS:
                    self._last = self.seconds()
                    say(event="step", step=self._step)
            case LocalRound():
                self._step += self._steps_per_round
            case Validate():
                self._note_round(item, party)

    def _note_round(self, item: Validate, party: Party) -> None:
        sizes = bytes_of(self._channel.lines.sizes())
        rows = history_rows(self._run, item, party, self.seconds(), sizes)
        self.history.add(*rows)
        for row in rows[1:]:
            if row["outside"]:
                self._outside[row["site"]] += row["outside"]
                say(event="note", text=_of_norms(self._run, row))
        if party.stopped == item.trial:  # the steps left out are no longer ahead
            self._step = (item.trial + 1) * self._run.training.rounds * self._steps_per_round
        told = ("train_loss", "validation_loss", "validation_auroc", "bytes_up", "bytes_down")
        found = {name: rows[0][name] for name in told}
        say(event="round", trial=item.trial, round=item.round, step=self._step, **found)


def history_rows(
    run: Run, item: Validate, party: Party, seconds: float, sizes: Mapping[str, float]
) -> list[dict[str, Any]]:
    """Describe the round that was just validated: a row for all hospitals, then one for each.

    `update_norm` and `gradient_norm` are the longest that came from a site, `outside` says how many were
    longer than the study's norms or not finite. `stopped` is true in the round after which a trial was given
    up; where sites train alone, a site that has stopped has no further row in that trial.
    """
    found, rate = party.rounds[-1], run.training.learning_rates[item.trial]
    place = {"trial": item.trial, "learning_rate": rate, "round": item.round}
    best = party.best_at == (item.trial, item.round)
    after = {
        "seconds": seconds,
        "bytes_up": sizes["bytes_up"],
        "bytes_down": sizes["bytes_down"],
        "best": best,
        "stopped": party.stopped == item.trial,
    }
    loss = validation_loss(found, run.site_weights)
    losses = {"train_loss": _train_loss(found), "validation_loss": loss, **_ranking(found)}
    rows: list[dict[str, Any]] = [{**place, "site": "all", **losses, **after}]
    for index, (site, each) in enumerate(zip(run.sites, found, strict=True)):
        if party.stopped_alone.get(index, item.round) < item.round:
            continue
        stopped = party.stopped == item.trial or index in party.stopped_alone
        # the pool's batches belong to no hospital: it has no training loss of its own
        own = None if run.preset == "centralized" else _train_loss([each])
        mean = each.loss / each.records if each.records else None
        losses = {"train_loss": own, "validation_loss": mean, **_ranking([each])}
        norms = _norms(take_measured(party, index))
        rows.append({**place, "site": site, **losses, **after, "stopped": stopped, **norms})
    whole = {"outside": sum(row["outside"] for row in rows[1:])}
    return [{**rows[0], **_norms(Measured()), **whole}, *rows[1:]]


def _norms(found: Measured) -> dict[str, Any]:
    """Give lengths as JSON can have them: none where nothing came, or something that is not finite."""
    update, gradient = (norm if 0 < norm < inf else None for norm in (found.update, found.gradient))
    return {"update_norm": update, "gradient_norm": gradient, "outside": found.outside}


def _of_norms(run: Run, row: Mapping[str, Any]) -> str:
    return (
        f"'{row['site']}': {row['outside']} updates or gradients outside the norms in round {row['round']} "
        f"(longest: {row['update_norm']}, {row['gradient_norm']}; norms.action: {run.norms.action})"
    )


def _train_loss(found: list[Validation]) -> float | None:
    records = sum(each.train_records for each in found)
    return sum(each.train_loss for each in found) / records if records else None


def _ranking(found: list[Validation]) -> dict[str, float | None]:
    """Give the AUROC of validation records, within their hospitals, and of how many pairs it is."""
    pairs, ranked = sum(each.pairs for each in found), sum(each.ranked for each in found)
    return {"validation_auroc": ranked / pairs if pairs and isfinite(ranked) else None,
            "validation_pairs": pairs}  # fmt: skip
