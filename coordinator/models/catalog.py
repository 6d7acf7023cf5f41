"""Which models there are and what their stages are called; imports no torch."""

from collections.abc import Callable
from typing import Literal, NamedTuple

from coordinator.config import Model
from coordinator.errors import ConfigError
from coordinator.names import nearest


class Entry(NamedTuple):
    """Where a model is built, what it reads, and its stages before the last, in order."""

    module: str
    reads: Literal["table", "image"]
    stages: Callable[[Model], tuple[str, ...]]


def _numbered(word: str, count: int) -> tuple[str, ...]:
    return (*(f"{word}{i + 1}" for i in range(count)), "head")


MODELS: dict[str, Entry] = {
    "logistic_regression": Entry("coordinator.models.tabular", "table", lambda _: ("head",)),
    "mlp": Entry("coordinator.models.tabular", "table", lambda m: _numbered("layer", len(m.hidden))),
    "cnn": Entry("coordinator.models.imaging", "image", lambda m: _numbered("conv", len(m.channels))),
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
