"""What a study's strategies mean: a preset, what differs from it, and what cannot go together."""

from coordinator.config import Model, Strategy, Study, Task, Training
from coordinator.errors import ConfigError
from coordinator.models.catalog import stage_names
from coordinator.names import nearest
from coordinator.presets import AXES, PRESETS, Axes


def axes_of(label: str, strategy: Strategy) -> Axes:
    """Merge a strategy's settings over its preset's.

    Raises:
        ConfigError: the preset is unknown, an axis is set that it does not have, or they do not go together.
    """
    name = strategy.preset or label
    if name not in PRESETS:
        raise ConfigError(f"unknown strategy '{name}'; {nearest(name, PRESETS)}", key=f"strategies.{label}")
    chosen = {axis: value for axis in AXES if (value := getattr(strategy, axis)) is not None}
    for axis in chosen:
        if axis not in PRESETS[name]:
            raise ConfigError(f"'{name}' has no such setting; remove it", key=f"strategies.{label}.{axis}")
    axes = {"preset": name, **PRESETS[name], **chosen}
    if problem := contradiction(axes, chosen, strategy.participation):
        raise ConfigError(problem, key=f"strategies.{label}")
    return axes


def contradiction(axes: Axes, chosen: Axes, participation: float | str) -> str | None:
    """Say why axes do not go together, or nothing.

    Args: `chosen` are those that the study set itself, `participation` the share of sites in a round or a
    file that recorded who trained.
    """
    if axes["algorithm"] != "split":
        drawn = participation != 1 and not (axes["algorithm"] == "cyclic" and isinstance(participation, str))
        whole = axes["algorithm"] in ("local", "cyclic") and drawn
        return (
            "only federated and split training choose sites in each round; remove participation"
            if whole
            else None
        )
    parts, back = axes["site_parts"], axes["back"]
    if parts == "handed_on" and back != "single":
        return f"handed-on site parts need a single back, not '{back}': they are in one place at a time"
    if back == "joint" and parts not in ("synchronous", "private"):
        return f"a joint back needs synchronous or private site parts, not '{parts}'"
    if parts == "synchronous" and back != "joint":
        return f"synchronous site parts add up each step of a joint back, not of one that is '{back}'"
    idle = [axis for axis in ("turn", "order", "interleave") if axis in chosen and back != "single"]
    if idle:
        return f"'{idle[0]}' orders the updates of a single back, and this one is '{back}'; remove it"
    if "interleave" in chosen and axes["turn"] != "batch":
        return "'interleave' orders batches in turn; set turn: batch, or remove it"
    if "optimizer_state" in chosen and "averaged" not in (parts, back):
        return "'optimizer_state' is of what is averaged, and nothing is; remove it"
    return None


def cut_of(study: Study, name: str, label: str, axes: Axes) -> tuple[str, ...]:
    """Name the last stage of the front, and of the middle where labels are private.

    Raises:
        ConfigError: the model has no such stage, or nothing is left on one side of the cut.
    """
    task, strategy = study.tasks[name], study.strategies[label]
    if axes["algorithm"] != "split":
        return ()
    cut = strategy.cut or task.cut
    names = (cut,) if isinstance(cut, str) else tuple(cut)
    key = f"strategies.{label}.cut" if strategy.cut else f"tasks.{name}.cut"
    stages = stage_names(task.model)
    if not stages:
        return _cut_of_a_module(key, names, axes)
    if len(stages) == 1:
        raise ConfigError(
            f"'{task.model.name}' has a single layer and cannot be cut; "
            f"leave the strategy out of task '{name}' (tasks:) or choose another model",
            key=f"strategies.{label}",
        )
    _check_cut(key, task.model, names, stages)
    if axes["labels"] == "shared":
        return names[:1]
    return names if len(names) == 2 else _with_default_head(key, names[0], stages)


def training_of(task: Task, strategy: Strategy) -> Training:
    """Lay a strategy's training keys over the task's."""
    change = strategy.training.model_dump(exclude_none=True)
    return Training.model_validate({**task.training.model_dump(), **change})


def check_optimizer(label: str, axes: Axes, training: Training) -> None:
    """Refuse a rule that is not defined for the sites' optimizer.

    Raises:
        ConfigError: SCAFFOLD corrects the steps of plain SGD, FedNova counts those of SGD.
    """
    rule, key = axes.get("rule"), f"strategies.{label}"
    if rule == "scaffold" and (training.optimizer != "sgd" or training.momentum):
        raise ConfigError(
            "scaffold is defined for plain SGD at the sites; give it training: {optimizer: sgd, momentum: 0} "
            "and learning rates for it",
            key=key,
        )
    if rule == "fednova" and (training.optimizer != "sgd" or axes["optimizer_state"] != "restarted"):
        raise ConfigError(
            "fednova counts the steps of SGD from a fresh start; give it training: {optimizer: sgd} and "
            "learning rates for it, and keep optimizer_state: restarted",
            key=key,
        )


def _check_cut(key: str, model: Model, names: tuple[str, ...], stages: tuple[str, ...]) -> None:
    for name in names:
        if name not in stages:
            raise ConfigError(
                f"'{model.name}' has no stage '{name}' to cut after; {_inside(name, stages)}"
                f"{nearest(name, stages)}",
                key=key,
            )
    places = [stages.index(name) for name in names]
    if places[-1] == len(stages) - 1 or places != sorted(set(places)):
        raise ConfigError(
            f"cut {list(names)} leaves a part empty; the stages of '{model.name}' are {', '.join(stages)}",
            key=key,
        )


def _inside(name: str, stages: tuple[str, ...]) -> str:
    around = [stage for stage in stages if name.startswith(f"{stage}.")]
    if not around:
        return ""
    return f"inside '{around[-1]}' a skip connection would be cut, or it is where that ends; "


def _cut_of_a_module(key: str, names: tuple[str, ...], axes: Axes) -> tuple[str, ...]:
    # its stages are known where it is built: whether they can be cut so is said there
    if axes["labels"] == "private" and len(names) == 1:
        raise ConfigError(
            "where labels are private, a network of the study's own needs two names: "
            "the last stage of the front and the last before the head",
            key=key,
        )
    return names if axes["labels"] == "private" else names[:1]


def _with_default_head(key: str, front: str, stages: tuple[str, ...]) -> tuple[str, str]:
    if stages[-2] == front:
        raise ConfigError(
            f"cut after '{front}' leaves no middle between front and head; "
            f"cut earlier, the stages are {', '.join(stages)}",
            key=key,
        )
    return front, stages[-2]
