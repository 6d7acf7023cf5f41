"""The named ways to train, as presets over a few axes (the design's section 5)."""

from typing import Final

from coordinator.config import Model, Strategy, Study, Task, Training
from coordinator.errors import ConfigError
from coordinator.models.catalog import stage_names
from coordinator.names import nearest

# preset -> the algorithm's module, and the axes it sets
PRESETS: Final[dict[str, dict[str, str]]] = {
    "centralized": {"algorithm": "local", "batches": "shuffled"},
    "local": {"algorithm": "local"},
    "fedavg": {"algorithm": "federated", "optimizer_state": "restarted"},  # McMahan 2017
    "split": {"algorithm": "split", "labels": "shared"},  # Gupta & Raskar 2018
    "split_u": {"algorithm": "split", "labels": "private"},  # Vepakomma 2018
}
AXES: Final = ("labels", "optimizer_state", "batches")


def axes_of(label: str, strategy: Strategy) -> dict[str, str]:
    """Merge a strategy's settings over its preset's.

    Raises:
        ConfigError: the preset is unknown, or an axis is set that it does not have.
    """
    name = strategy.preset or label
    if name not in PRESETS:
        raise ConfigError(f"unknown strategy '{name}'; {nearest(name, PRESETS)}", key=f"strategies.{label}")
    chosen = {axis: value for axis in AXES if (value := getattr(strategy, axis)) is not None}
    for axis in chosen:
        if axis not in PRESETS[name]:
            raise ConfigError(f"'{name}' has no such setting; remove it", key=f"strategies.{label}.{axis}")
    return {"preset": name, **PRESETS[name], **chosen}


def cut_of(study: Study, name: str, label: str, axes: dict[str, str]) -> tuple[str, ...]:
    """Name the last stage of the front, and of the middle where labels are private.

    Raises:
        ConfigError: the model has no such stage, or nothing is left on one side of the cut.
    """
    task, strategy = study.tasks[name], study.strategies[label]
    if axes["algorithm"] != "split":
        return ()
    cut = strategy.cut or task.cut
    names = (cut,) if isinstance(cut, str) else tuple(cut)
    stages = stage_names(task.model)
    if len(stages) == 1:
        raise ConfigError(
            f"'{task.model.name}' has a single layer and cannot be cut; "
            f"leave the strategy out of task '{name}' (tasks:) or choose another model",
            key=f"strategies.{label}",
        )
    key = f"strategies.{label}.cut" if strategy.cut else f"tasks.{name}.cut"
    _check_cut(key, task.model, names, stages)
    if axes["labels"] == "shared":
        return names[:1]
    return names if len(names) == 2 else _with_default_head(key, names[0], stages)


def training_of(task: Task, strategy: Strategy) -> Training:
    """Lay a strategy's training keys over the task's."""
    change = strategy.training.model_dump(exclude_none=True)
    return Training.model_validate({**task.training.model_dump(), **change})


def _check_cut(key: str, model: Model, names: tuple[str, ...], stages: tuple[str, ...]) -> None:
    for name in names:
        if name not in stages:
            raise ConfigError(
                f"'{model.name}' has no stage '{name}' to cut after; {nearest(name, stages)}",
                key=key,
            )
    places = [stages.index(name) for name in names]
    if places[-1] == len(stages) - 1 or places != sorted(set(places)):
        raise ConfigError(
            f"cut {list(names)} leaves a part empty; the stages of '{model.name}' are {', '.join(stages)}",
            key=key,
        )


def _with_default_head(key: str, front: str, stages: tuple[str, ...]) -> tuple[str, str]:
    if stages[-2] == front:
        raise ConfigError(
            f"cut after '{front}' leaves no middle between front and head; "
            f"cut earlier, the stages are {', '.join(stages)}",
            key=key,
        )
    return front, stages[-2]
