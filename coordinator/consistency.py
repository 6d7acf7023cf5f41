"""What no single key of a study can show: names, and keys that do not go together."""

from typing import Final

from coordinator.config import Study, Task
from coordinator.errors import ConfigError
from coordinator.loaders import SOURCES
from coordinator.models.catalog import entry
from coordinator.names import nearest
from coordinator.specs import POOLED
from coordinator.strategies import axes_of

# names that stand for something else in a study's tables and folders
SITE_NAMES_TAKEN: Final = {
    "all": "stands for all sites together in the tables",
    "stratified": "stands for the mean over sites in the tables",
    "coordinator": "is the party all sites talk to",
    POOLED: "is the centralized arm's name",
}
AGREEMENT: Final = "agree"  # its state lies beside the strategies'
GENERATORS: Final = ("chest_xray_synthetic",)  # sources that deal as many records as `records` says


def check(study: Study) -> None:
    """Check a study as a whole.

    Raises:
        ConfigError: the first problem found.
    """
    for name, task in study.tasks.items():
        _check_task(name, task)
        _check_sites(name, task)
        _check_sizes(name, task, study.min_patients)
    if AGREEMENT in study.strategies:
        raise ConfigError(
            "the sites' agreement has this name; rename the strategy and give its preset",
            key=f"strategies.{AGREEMENT}",
        )
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


def _check_sites(name: str, task: Task) -> None:
    key = f"tasks.{name}.sites"
    if len(set(task.sites)) != len(task.sites):
        raise ConfigError("a site is named twice; name each once", key=key)
    for site in task.sites:
        if site in SITE_NAMES_TAKEN:
            raise ConfigError(f"'{site}' {SITE_NAMES_TAKEN[site]}; rename the site", key=key)


def _check_sizes(name: str, task: Task, min_patients: int) -> None:
    halvings, pixels = len(task.model.channels), task.data.pixels
    if task.model.name == "cnn" and pixels >> halvings < 1:
        raise ConfigError(
            f"{halvings} convolutions each halve the image's side and leave nothing of {pixels} pixels; "
            f"name at most {pixels.bit_length() - 1} channels, or raise data.pixels",
            key=f"tasks.{name}.model.channels",
        )
    needed = len(task.sites) * min_patients
    if task.data.source in GENERATORS and task.data.records < needed:
        raise ConfigError(
            f"{task.data.records} records cannot give {len(task.sites)} sites {min_patients} patients each "
            f"(min_patients); make at least {needed}",
            key=f"tasks.{name}.data.records",
        )
