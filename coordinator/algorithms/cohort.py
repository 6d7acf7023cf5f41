"""The records a party learns from, how many each hospital has, and the shape of one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from coordinator.algorithms.training import Draw
from coordinator.models.stages import Shape, Value
from coordinator.schedule import Indices


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
    """How many records each hospital has, in site order, and the shape of one record.

    `events` are the training records with the outcome, None where a site may not tell.
    """

    shape: Shape
    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]
    events: tuple[int | None, ...] = ()

    @staticmethod
    def of(statistics: dict[str, Any], sites: Sequence[str]) -> "Cohort":
        """Take the counts out of the agreed statistics."""
        counts = {
            role: tuple(statistics["sites"][site][role] for site in sites)
            for role in ("train", "validation", "test")
        }
        counts["events"] = tuple(statistics["sites"][site].get("train_events") for site in sites)
        return Cohort(shape=shape_of(statistics["input_shapes"]), **counts)


def shape_of(input_shapes: Mapping[str, Sequence[int]]) -> Shape:
    """Give the shape of one record: of its one modality, or by modality."""
    shapes = {name: tuple(shape) for name, shape in input_shapes.items()}
    return shapes if len(shapes) > 1 else next(iter(shapes.values()))
