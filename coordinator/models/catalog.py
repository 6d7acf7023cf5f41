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


def _transformer_stages(model: Model) -> tuple[str, ...]:
    blocks = (f"block{i + 1}" for i in range(model.blocks))
    return ("embed", *blocks, "pool", *_numbered("layer", len(model.hidden) - 1))


def _resnet18_stages(model: Model) -> tuple[str, ...]:
    pool = ("maxpool",) if model.stem == "7x7" else ()
    layers = (name for i in range(1, 5) for name in (f"layer{i}.0", f"layer{i}"))
    last = ("fc.0", "fc") if model.dropout else ("fc",)
    return ("conv1", "bn1", "act", *pool, *layers, "avgpool", *last)


def _densenet121_stages(model: Model) -> tuple[str, ...]:
    first = ("conv0", "norm0", "relu0", "pool0")
    blocks = (name for i, layers in enumerate((6, 12, 24, 16), start=1) for name in _dense(i, layers))
    last = ("class_layers.relu", "class_layers.pool", "class_layers.flatten", "class_layers")
    return (*(f"features.{name}" for name in (*first, *blocks)), "features", *last)


def _dense(block: int, layers: int) -> tuple[str, ...]:
    name, transition = f"denseblock{block}", f"transition{block}"
    inner = tuple(f"{name}.denselayer{i}" for i in range(1, layers))
    if block == 4:
        return (*inner, name)
    return (*inner, name, *(f"{transition}.{each}" for each in ("norm", "relu", "conv")), transition)


def _fusion_stages(model: Model) -> tuple[str, ...]:
    return ("fronts", *_numbered("layer", len(model.hidden) - 1))


MODELS: dict[str, Entry] = {
    "logistic_regression": Entry("coordinator.models.tabular", ("table",), lambda _: ("head",)),
    "mlp": Entry("coordinator.models.tabular", ("table",), lambda m: _numbered("layer", len(m.hidden))),
    "gru": Entry("coordinator.models.series", ("series",), _gru_stages),
    "cnn": Entry("coordinator.models.imaging", ("image",), lambda m: _numbered("conv", len(m.channels))),
    "transformer": Entry("coordinator.models.transformer", ("series",), _transformer_stages),
    "resnet18": Entry("coordinator.models.monai_nets", ("image",), _resnet18_stages),
    "densenet121": Entry("coordinator.models.monai_nets", ("image",), _densenet121_stages),
    # known only where the class may be imported: at the parties of a run
    "module": Entry("coordinator.models.module", ("table", "series", "image"), lambda _: ()),
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


def has_batch_norm(model: Model) -> bool:
    """Say whether a model cannot train on a batch of one record."""
    return model.norm == "batch"


def code_of(model: Model) -> list[str]:
    """Name the modules that build a model."""
    own = [model.path.partition(":")[0]] if model.path else []
    return [entry(model).module, *own]


def stage_names(model: Model) -> tuple[str, ...]:
    """Name a model's stages in order; a cut is made after one of them. A `module`'s builders know its own."""
    return entry(model).stages(model)
