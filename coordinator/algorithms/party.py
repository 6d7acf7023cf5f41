"""What a party holds while it trains: its parts, their optimizers, its data, its best model."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from math import isnan, nan
from typing import Any, Protocol

from torch import Tensor

from coordinator.algorithms.optimizers import Optimizer
from coordinator.algorithms.training import Draw, logits_of, loss_sum
from coordinator.errors import ProtocolError
from coordinator.models.catalog import entry, stage_names
from coordinator.models.stages import Builders, Part, Shape, Value, build
from coordinator.protocol.messages import Validated
from coordinator.protocol.seals import Sealer
from coordinator.schedule import Begin, Indices
from coordinator.specs import Run

Stages = dict[str, tuple[str, ...]]  # part name to stage names


class Inputs(Protocol):
    """What a model reads of some records, by their numbers: (records, ...) float32."""

    def __getitem__(self, records: Indices | slice) -> Value: ...

    def __len__(self) -> int: ...


@dataclass(frozen=True)
class Rows:
    """Some records: inputs, and labels (records,) float32.

    `changed` gives a training batch's inputs with random changes keyed by a draw, where the study has any.
    """

    inputs: Inputs | Tensor
    labels: Tensor
    changed: Callable[[Indices, Draw], Value] | None = None

    def batch(self, records: Indices, draw: Draw) -> Value:
        """Give the inputs of a training batch."""
        return self.inputs[records] if self.changed is None else self.changed(records, draw)


@dataclass(frozen=True)
class SiteData:
    """What a site learns from; validation and test by hospital, so that the pool keeps them apart."""

    train: Rows
    validation: tuple[Rows, ...]
    test: tuple[Rows, ...]


@dataclass(frozen=True)
class Cohort:
    """How many records each hospital has, in site order, and the shape of one record."""

    shape: Shape
    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]

    @staticmethod
    def of(statistics: dict[str, Any], sites: Sequence[str]) -> "Cohort":
        """Take the counts out of the agreed statistics."""
        counts = {
            role: tuple(statistics["sites"][site][role] for site in sites)
            for role in ("train", "validation", "test")
        }
        return Cohort(shape=shape_of(statistics["input_shapes"]), **counts)


@dataclass(frozen=True)
class Validation:
    """One hospital's losses in a round, as float64 sums."""

    train_loss: float
    train_records: int
    loss: float
    records: int


@dataclass
class Party:
    """A party's state; the coordinator has no data and the index -1."""

    run: Run
    cohort: Cohort
    index: int = -1
    data: SiteData | None = None
    sealer: Sealer | None = None
    parts: dict[str, Part] = field(default_factory=dict)
    optimizers: dict[str, Optimizer] = field(default_factory=dict)
    best: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    best_loss: float = nan
    best_at: tuple[int, int] = (-1, -1)
    rounds: list[list[Validation]] = field(default_factory=list)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    # at the coordinator: a copy of the back per site, what a server rule remembers, what sites' tensors are
    copies: dict[int, Part] = field(default_factory=dict)
    copy_optimizers: dict[int, Optimizer] = field(default_factory=dict)
    server: dict[str, Any] = field(default_factory=dict)
    site_shapes: list[tuple[int, ...]] = field(default_factory=list)
    site_parameters: list[tuple[int, ...]] = field(default_factory=list)
    losses: dict[int, tuple[float, int]] = field(default_factory=dict)
    steps: int = 0
    records_trained: int = 0
    records_scored: int = 0

    @property
    def rows(self) -> SiteData:
        """Give the site's data; the coordinator has none."""
        assert self.data is not None
        return self.data

    def count(self, loss: float, records: int, site: int) -> None:
        """Count a step on a hospital's records, and its mean loss."""
        total, seen = self.losses.get(site, (0.0, 0))
        self.losses[site] = total + loss * records, seen + records
        self.steps += 1
        self.records_trained += records

    def take_losses(self, site: int) -> tuple[float, int]:
        """Give the sum of a hospital's training losses since the last call, and forget it."""
        return self.losses.pop(site, (0.0, 0))


def begin(party: Party, item: Begin, held: dict[str, tuple[str, ...]]) -> Party:
    """Build the parts that the party holds (part name to stage names), and their optimizers."""
    builders = builders_of(party.run, party.cohort.shape)
    party.parts = {name: build(builders, party.run.seed, names) for name, names in held.items()}
    party.optimizers = {
        name: Optimizer(part, party.run.training, item.learning_rate) for name, part in party.parts.items()
    }
    return party


def builders_of(run: Run, shape: Shape) -> Builders:
    """Describe the run's model for inputs of this shape."""
    builders: Builders = import_module(entry(run.model).module).stages(run.model, shape)
    return builders


def whole(run: Run) -> Stages:
    """Name the one part of a party that holds the whole model."""
    return {"model": stage_names(run.model)}


def whole_at_sites(run: Run) -> tuple[Stages, Stages]:
    """Say which stages the site holds, all, and which the coordinator: none."""
    return whole(run), {}


def shape_of(input_shapes: Mapping[str, Sequence[int]]) -> Shape:
    """Give the shape of one record: of its one modality, or by modality."""
    shapes = {name: tuple(shape) for name, shape in input_shapes.items()}
    return shapes if len(shapes) > 1 else next(iter(shapes.values()))


def switch(party: Party, *, training: bool) -> None:
    """Put every part in training or evaluation mode."""
    for part in party.parts.values():
        part.train(training)


def validate_whole(party: Party) -> list[Validation]:
    """Score the validation records of each hospital with the whole model at this party."""
    switch(party, training=False)
    losses = [loss_sum(score(party, rows), rows.labels) for rows in party.rows.validation]
    switch(party, training=True)
    first = max(party.index, 0)
    trained = {first + i: party.take_losses(first + i) for i in range(len(losses))}
    return [
        Validation(*trained[first + i], loss, len(rows.labels))
        for i, (loss, rows) in enumerate(zip(losses, party.rows.validation, strict=True))
    ]


def score(party: Party, rows: Rows) -> Tensor:
    """Give the whole model's logits (records, 1)."""
    party.records_scored += len(rows.labels)
    return logits_of(party.parts["model"], rows.inputs, len(rows.labels))


def predict_whole(party: Party) -> list[Tensor]:
    """Give the best model's test logits by hospital."""
    restore(party)
    return [score(party, rows) for rows in party.rows.test]


def said(party: Party, message: Validated, sender: str) -> Validation:
    """Take a site's word on its losses, as far as it can be true.

    Raises:
        ProtocolError: it counts other records than were agreed on, or a loss is below 0.
    """
    hospital = message.position[2]
    agreed, most = (
        party.cohort.validation[hospital],
        sum(party.cohort.train) * party.run.training.local_epochs,
    )
    if message.records != agreed or not 0 <= message.train_records <= most:
        raise ProtocolError(
            f"'{sender}' says it validated {message.records} records and trained on {message.train_records}; "
            f"agreed were {agreed}, and at most {most}"
        )
    if message.loss < 0 or message.train_loss < 0:
        raise ProtocolError(
            f"'{sender}' says its losses are {message.loss} and {message.train_loss}, below 0"
        )
    return Validation(message.train_loss, message.train_records, message.loss, message.records)


def validation_loss(validations: Sequence[Validation], site_weights: str) -> float:
    """Combine the hospitals' validation losses in site order, by records or equally; NaN without a record."""
    seen = [validation for validation in validations if validation.records]
    if not seen:
        return nan
    if site_weights == "equal":
        return sum(each.loss / each.records for each in seen) / len(seen)
    return sum(each.loss for each in seen) / sum(each.records for each in seen)


def select(party: Party, validations: list[Validation], at: tuple[int, int]) -> bool:
    """Say whether this round's model is the best so far, by validation loss; the first wins ties.

    A model whose loss is not a number never replaces one whose loss is.
    """
    party.rounds.append(validations)
    loss = validation_loss(validations, party.run.site_weights)
    if loss < party.best_loss or isnan(party.best_loss):
        party.best_loss, party.best_at = loss, at
        return True
    return False


def keep(party: Party) -> None:
    """Remember the parts as they are now."""
    party.best = {
        name: {key: value.detach().clone() for key, value in part.state_dict().items()}
        for name, part in party.parts.items()
    }


def restore(party: Party) -> None:
    """Go back to the best model, in evaluation mode."""
    for name, part in party.parts.items():
        part.load_state_dict(party.best[name])
    switch(party, training=False)
