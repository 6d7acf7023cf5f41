"""Which keys of `training` do not go together, with each other or with a strategy."""

from coordinator.config import Training
from coordinator.errors import ConfigError
from coordinator.presets import Axes


def check_fitting(label: str, axes: Axes, training: Training) -> None:
    """Refuse training keys that mean nothing for a strategy.

    Raises:
        ConfigError: the first problem, with its reason.
    """
    if problem := _of_rounds(training) or _of_clipping(axes, training):
        raise ConfigError(problem, key=f"strategies.{label}")


def _of_rounds(training: Training) -> str | None:
    if training.warm_up >= training.rounds:
        return (
            f"a warm-up of {training.warm_up} rounds leaves none of {training.rounds} at the full learning "
            "rate; shorten training.warm_up, or raise rounds"
        )
    return None


def _of_clipping(axes: Axes, training: Training) -> str | None:
    if training.clip is None:
        return None
    if axes.get("rule") == "scaffold":
        return (
            "scaffold reads each site's mean gradient off the distance its model moved, and clipped steps do "
            "not add up to it; remove training.clip"
        )
    joint_fronts = axes.get("back") == "joint" and axes["site_parts"] == "private"
    if joint_fronts and training.clip.scope == "global":
        return (
            "in a joint step with private site parts there is a front per site and so no whole model whose "
            "gradient has a length; set training.clip.scope: party"
        )
    return None
