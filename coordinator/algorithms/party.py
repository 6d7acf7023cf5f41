"""What a party holds while it trains: its parts, their optimizers, its data, its best model."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf, nan
from typing import Any

from torch import Tensor

from coordinator.algorithms.building import arithmetic_of, builders_of
from coordinator.algorithms.class_weights import agreed_weights, balanced
from coordinator.algorithms.cohort import Cohort, Rows, SiteData
from coordinator.algorithms.optimizers import Optimizer
from coordinator.algorithms.training import Weights, logits_of, loss_sum, ranked_pairs
from coordinator.errors import ProtocolError
from coordinator.models.stages import Part, Shape, Value, build
from coordinator.privacy.guard import Guard
from coordinator.protocol.keys import COORDINATOR
from coordinator.protocol.messages import Validated
from coordinator.protocol.seals import Seals
from coordinator.schedule import Begin, Item
from coordinator.specs import POOLED, Away, Run

Stages = dict[str, tuple[str, ...] | None]  # part name to stage names; None: all


@dataclass(frozen=True)
class Validation:
    """One hospital's losses in a round, as float64 sums; and its pairs ranked rightly, of how many."""

    train_loss: float
    train_records: int
    loss: float
    records: int
    ranked: float = 0.0
    pairs: int = 0


@dataclass
class Waiting:
    """How many rounds a trial has gone without a better validation loss than its best."""

    trial: int = -1
    least: float = inf
    rounds: int = 0


@dataclass(frozen=True)
class Left:
    """The parts a site had when it was last there, and the trial they are of."""

    trial: int
    parts: dict[str, dict[str, Tensor]]


@dataclass
class Party:
    """A party's state; the coordinator has no data and the index -1."""

    run: Run
    cohort: Cohort
    index: int = -1
    data: SiteData | None = None
    sealer: Seals | None = None
    guard: Guard | None = None  # at a site whose strategy has a defence
    away: Away = ()  # which sites the run goes on without, from which item on
    gone: tuple[int, ...] = ()  # who of them is away in the present one
    left: "Left | None" = None  # where this site is itself
    parts: dict[str, Part] = field(default_factory=dict)
    optimizers: dict[str, Optimizer] = field(default_factory=dict)
    best: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    best_loss: float = nan
    best_at: tuple[int, int] = (-1, -1)
    kept_at: tuple[int, int] = (-1, -1)  # the round whose parts `best` are
    stopped: int = -1  # the trial whose remaining rounds are left out
    ended: bool = False  # all that is left of the schedule is left out: an account would be overdrawn
    waiting: Waiting = field(default_factory=Waiting)
    rounds: list[list[Validation]] = field(default_factory=list)  # the last ones
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    # how many parameters the front, the middle and the head have, where their gradients' lengths are combined
    tensors: dict[str, int] = field(default_factory=dict)
    class_weights: Weights | None = None
    # at the coordinator: a copy of the back per site, what a server rule remembers, what sites' tensors are
    copies: dict[int, Part] = field(default_factory=dict)
    copy_optimizers: dict[int, Optimizer] = field(default_factory=dict)
    server: dict[str, Any] = field(default_factory=dict)
    site_shapes: list[tuple[int, ...]] = field(default_factory=list)
    site_parameters: list[tuple[int, ...]] = field(default_factory=list)
    apart: dict[int, Waiting] = field(default_factory=dict)  # sites that train alone stop alone
    stopped_alone: dict[int, int] = field(default_factory=dict)  # in which round of this trial each did
    losses: dict[int, tuple[float, int]] = field(default_factory=dict)
    upcoming: Item | None = None  # what the schedule says after this
    ahead: tuple[Item, Value, Tensor] | None = None  # its inputs and labels, loaded while waiting
    # at the coordinator, by site: the longest update and gradient, and how many were outside the norms
    measured: dict[int, tuple[float, float, int]] = field(default_factory=dict)
    steps: int = 0
    records_trained: int = 0
    records_scored: int = 0

    @property
    def rows(self) -> SiteData:
        """Give the site's data; the coordinator has none."""
        assert self.data is not None
        return self.data

    @property
    def here(self) -> list[int]:
        """Number the hospitals that are not away."""
        return [index for index, _ in enumerate(self.cohort.train) if index not in self.gone]

    @property
    def device(self) -> str:
        """Name the device on which this party computes."""
        alone = POOLED if self.data else COORDINATOR
        return self.run.devices.get(self.run.sites[self.index] if self.index >= 0 else alone, "cpu")

    def count(self, loss: float, records: int, site: int) -> None:
        """Count a step on a hospital's records, and its mean loss."""
        total, seen = self.losses.get(site, (0.0, 0))
        self.losses[site] = total + loss * records, seen + records
        self.steps += 1
        self.records_trained += records

    def take_losses(self, site: int) -> tuple[float, int]:
        """Give the sum of a hospital's training losses since the last call, and forget it."""
        return self.losses.pop(site, (0.0, 0))


def begin(party: Party, item: Begin, held: Mapping[str, tuple[str, ...] | None]) -> Party:
    """Build the parts that the party holds (part name to stage names, None: all), and their optimizers."""
    party.class_weights = class_weights_of(party)
    run, builders = party.run, builders_of(party.run, party.cohort.shape)
    how = arithmetic_of(run, party.device)
    party.parts = {name: build(builders, run.seed, names, how) for name, names in held.items()}
    party.optimizers = {
        name: Optimizer(part, party.run.training, item.learning_rate) for name, part in party.parts.items()
    }
    return party


def class_weights_of(party: Party) -> Weights | None:
    """Give the classes' weights: a hospital's own where it trains alone, else those of all counts."""
    run, cohort = party.run, party.cohort
    if run.training.class_weights == "none":
        return None
    if run.preset != "local":
        return agreed_weights(run, cohort.train, cohort.events)
    if party.data is None:  # the coordinator of sites that train alone computes no loss
        return None
    labels = party.data.train.labels
    return balanced(len(labels), int(labels.sum()))


def whole(run: Run) -> Stages:
    """Name the one part of a party that holds the whole model."""
    return {"model": None}


def whole_at_sites(run: Run, shape: Shape = ()) -> tuple[Stages, Stages]:
    """Say which stages the site holds, all, and which the coordinator: none."""
    return whole(run), {}


def switch(party: Party, *, training: bool) -> None:
    """Put every part in training or evaluation mode."""
    for part in party.parts.values():
        part.train(training)


def validate_whole(party: Party) -> list[Validation]:
    """Score the validation records of each hospital with the whole model at this party."""
    switch(party, training=False)
    logits = [score(party, rows) for rows in party.rows.validation]
    switch(party, training=True)
    first = max(party.index, 0)
    return [
        judged(party, first + i, each, rows.labels)
        for i, (each, rows) in enumerate(zip(logits, party.rows.validation, strict=True))
    ]


def judged(party: Party, index: int, logits: Tensor, labels: Tensor) -> Validation:
    """Say how a hospital's round went, from the logits (records, outputs) of its validation records."""
    loss = loss_sum(logits, labels, party.class_weights)
    ranked = ranked_pairs(logits, labels, party.run.min_cell)
    return Validation(*party.take_losses(index), loss, len(labels), *ranked)


def score(party: Party, rows: Rows) -> Tensor:
    """Give the whole model's logits (records, outputs)."""
    party.records_scored += len(rows.labels)
    return logits_of(party.parts["model"], rows.inputs, len(rows.labels), party.run.outputs)


def predict_whole(party: Party) -> list[Tensor]:
    """Give the best model's test logits by hospital."""
    restore(party)
    return [score(party, rows) for rows in party.rows.test]


def unheard() -> Validation:
    """Stand for a hospital that is away: no record of it counts."""
    return Validation(0.0, 0, 0.0, 0)


def said(party: Party, message: Validated, sender: str) -> Validation:
    """Take a site's word on its losses, as far as it can be true.

    Raises:
        ProtocolError: it counts other records than were agreed on, or a loss is below 0.
    """
    hospital, training = message.position[2], party.run.training
    agreed, most = (
        party.cohort.validation[hospital],
        sum(party.cohort.train) * max(training.local_epochs, *training.epochs_by_site.values(), 1),
    )
    if message.records != agreed or not 0 <= message.train_records <= most:
        raise ProtocolError(
            f"'{sender}' says it validated {message.records} records and trained on {message.train_records}; "
            f"agreed were {agreed}, and at most {most}",
            sender,
        )
    if message.loss < 0 or message.train_loss < 0:
        raise ProtocolError(
            f"'{sender}' says its losses are {message.loss} and {message.train_loss}, below 0", sender
        )
    if not 0 <= 4 * message.pairs <= agreed**2 or message.ranked < 0 or message.ranked > message.pairs:
        raise ProtocolError(
            f"'{sender}' says it ranked {message.ranked} of {message.pairs} pairs rightly; {agreed} records "
            "have fewer",
            sender,
        )
    return Validation(
        message.train_loss,
        message.train_records,
        message.loss,
        message.records,
        message.ranked,
        message.pairs,
    )


def restore(party: Party) -> None:
    """Go back to the best model, in evaluation mode."""
    for name, part in party.parts.items():
        part.load_state_dict(party.best[name])
    switch(party, training=False)
