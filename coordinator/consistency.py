"""What no single key of a study can show: names, and keys that do not go together."""

from coordinator.config import Study, Task
from coordinator.errors import ConfigError
from coordinator.loaders import SOURCES
from coordinator.models.catalog import entry
from coordinator.names import nearest
from coordinator.specs import POOLED
from coordinator.strategies import axes_of


def check(study: Study) -> None:
    """Check a study as a whole.

    Raises:
        ConfigError: the first problem found.
    """
    for name, task in study.tasks.items():
        _check_task(name, task)
    for label, strategy in study.strategies.items():
        axes = axes_of(label, strategy)
        for wanted in strategy.tasks or ():
            if wanted not in study.tasks:
                hint = nearest(wanted, study.tasks)
                raise ConfigError(f"unknown task '{wanted}'; {hint}", key=f"strategies.{label}.tasks")
        if axes["preset"] == "centralized" and not study.allow_pooling:
            raise ConfigError(
                "centralized training pools the sites' records and allow_pooling is false; "
                "set allow_pooling: true, or remove the strategy",
                key=f"strategies.{label}",
            )
    if study.reference not in study.strategies:
        raise ConfigError(
            f"no strategy '{study.reference}'; {nearest(study.reference, study.strategies)}", key="reference"
        )
    if study.strategies[study.reference].tasks is not None:
        raise ConfigError(
            f"others are compared with '{study.reference}', so it runs on every task; remove its tasks",
            key=f"strategies.{study.reference}.tasks",
        )
    if len(set(study.seeds)) != len(study.seeds):
        raise ConfigError(f"{list(study.seeds)} names a seed twice; name each once", key="seeds")
    if study.release != "predictions" or not study.allow_pooling:
        raise ConfigError(
            "'scores' compares record-level scores outside the sites and needs "
            "release: predictions and allow_pooling: true",
            key="evaluation",
        )


def _check_task(name: str, task: Task) -> None:
    source = task.data.source
    if source not in SOURCES:
        raise ConfigError(
            f"unknown source '{source}'; {nearest(source, SOURCES)}", key=f"tasks.{name}.data.source"
        )
    gives, reads = SOURCES[source].gives, entry(task.model, f"tasks.{name}.model.name").reads
    if gives != reads:
        raise ConfigError(
            f"'{task.model.name}' reads a {reads}, '{source}' gives a {gives}", key=f"tasks.{name}.model"
        )
    if len(set(task.sites)) != len(task.sites):
        raise ConfigError("a site is named twice; name each once", key=f"tasks.{name}.sites")
    if POOLED in task.sites:
        raise ConfigError(
            f"'{POOLED}' is the centralized arm's name; rename the site", key=f"tasks.{name}.sites"
        )
