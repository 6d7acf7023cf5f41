"""Which models there are and what their stages are called; imports no torch."""

from collections.abc import Callable
from typing import NamedTuple

from coordinator.config import Modality, Model
from coordinator.errors import ConfigError
from coordinator.names import nearest


class Entry(NamedTuple):
    """Where a model is built, which of a record's modalities it can read, and its stages in order."""

    module: str
    reads: tuple[Modality, ...]
    stages: Callable[[Model], tuple[str, ...]]


def _numbered(word: str, count: int) -> tuple[str, ...]:
    return (*(f"{word}{i + 1}" for i in range(count)), "head")


def _gru_stages(model: Model) -> tuple[str, ...]:
    return ("gru", *_numbered("layer", len(model.hidden) - 1))


def _fusion_stages(model: Model) -> tuple[str, ...]:
    return ("fronts", *_numbered("layer", len(model.hidden) - 1))


MODELS: dict[str, Entry] = {
    "logistic_regression": Entry("coordinator.models.tabular", ("table",), lambda _: ("head",)),
    "mlp": Entry("coordinator.models.tabular", ("table",), lambda m: _numbered("layer", len(m.hidden))),
    "gru": Entry("coordinator.models.series", ("series",), _gru_stages),
    "cnn": Entry("coordinator.models.imaging", ("image",), lambda m: _numbered("conv", len(m.channels))),
    "fusion": Entry("coordinator.models.fusion", ("table", "series", "image"), _fusion_stages),
}


def entry(model: Model, key: str = "model.name") -> Entry:
    """Look a model up; ``key`` is where the config names it.

    Raises:
        ConfigError: the model is unknown.
    """
    if model.name not in MODELS:
        raise ConfigError(f"unknown model '{model.name}'; {nearest(model.name, MODELS)}", key=key)
    return MODELS[model.name]


def stage_names(model: Model) -> tuple[str, ...]:
    """Name a model's stages in order; a cut is made after one of them."""
    return entry(model).stages(model)
