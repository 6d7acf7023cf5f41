"""What a model's settings ask of each other, of the data and of the sites."""

from collections.abc import Mapping
from typing import Final

from coordinator.config import Model, Site, Task
from coordinator.errors import ConfigError

BATCH_NORM_MODELS: Final = ("resnet18", "densenet121", "module")
DENSENET_PIXELS: Final = 29  # its five halvings leave a pixel; of 28 they would leave none


def check_model(name: str, task: Task, sites: Mapping[str, Site]) -> None:
    """Check a task's model.

    Raises:
        ConfigError: a setting that the model does not have or cannot keep, or a site that does not allow it.
    """
    key = f"tasks.{name}.model"
    if problem := contradiction(task.model):
        raise ConfigError(problem, key=key)
    if task.model.name == "densenet121" and task.data.pixels < DENSENET_PIXELS:
        raise ConfigError(
            f"'densenet121' halves an image five times and leaves nothing of {task.data.pixels} pixels; "
            f"set data.pixels to at least {DENSENET_PIXELS}",
            key=f"tasks.{name}.data.pixels",
        )
    for site in task.sites:
        if task.model.path and task.model.path not in sites[site].allow_models:
            raise ConfigError(not_allowed(site, task.model.path), key=key)


def contradiction(model: Model) -> str | None:
    """Say what of a model's settings does not go together, or nothing."""
    if (model.name == "module") != (model.path is not None):
        return "a network of the study's own has both: `name: module` and `path: package.module:Class`"
    if model.options and model.name != "module":
        return f"options are for a network of the study's own (name: module), not for '{model.name}'"
    if model.norm == "batch" and model.name not in BATCH_NORM_MODELS:
        return f"'{model.name}' has no batch norm; remove norm, or choose {', '.join(BATCH_NORM_MODELS)}"
    if model.name == "transformer" and model.hidden and model.hidden[0] % model.heads:
        return f"{model.heads} heads do not divide tokens of width {model.hidden[0]}; change hidden or heads"
    return None


def not_allowed(site: str, path: str) -> str:
    """Say that a site does not let a network's code run."""
    return (
        f"site '{site}' does not allow '{path}' to run on its records; whoever answers for the site reads "
        f"that code and adds it to allow_models in config/sites/{site}.yaml"
    )
