"""What no single key of a study can show: names, and keys that do not go together."""

from collections.abc import Mapping
from typing import Final

from coordinator.class_rules import check_several_classes
from coordinator.column_rules import check_columns, check_selections
from coordinator.config import Modality, Site, Study, Task
from coordinator.errors import ConfigError
from coordinator.event_rules import check_events
from coordinator.loaders import ANY, SOURCES, modalities_of
from coordinator.model_rules import check_model
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
GENERATORS: Final = ("network",)  # sources that deal as many records as `records` says


def check(study: Study, sites: Mapping[str, Site], *, elsewhere: bool = False) -> None:
    """Check a study as a whole.

    Args: `elsewhere` says that each hospital keeps its test scores, so that nobody compares them here.

    Raises:
        ConfigError: the first problem found.
    """
    for name, task in study.tasks.items():
        _check_task(name, task)
        check_columns(name, task)
        check_events(name, task)
        _check_sites(name, task)
        check_selections(name, task, sites)
        _check_sizes(name, task, study.min_patients)
        check_model(name, task, sites)
    _check_strategies(study)
    check_several_classes(study)
    _check_reference(study)
    _check_subgroups(study)
    _check_recording(study, sites)
    if len(set(study.seeds)) != len(study.seeds):
        raise ConfigError(f"{list(study.seeds)} names a seed twice; name each once", key="seeds")
    _check_evaluation(study, elsewhere=elsewhere)


def _check_evaluation(study: Study, *, elsewhere: bool) -> None:
    if study.evaluation == "federated":
        if study.release == "predictions":
            raise ConfigError(
                "'federated' compares without a score leaving a site, and release: predictions sends them; "
                "set release: nothing, or evaluation: scores",
                key="evaluation",
            )
    elif not elsewhere and (study.release != "predictions" or not study.allow_pooling):
        raise ConfigError(
            "'scores' compares record-level scores outside the sites and needs "
            "release: predictions and allow_pooling: true; evaluation: federated compares without",
            key="evaluation",
        )


def _check_subgroups(study: Study) -> None:
    if study.subgroups and study.release != "predictions":
        raise ConfigError(
            "sex and age band leave with test scores; set release: predictions", key="subgroups"
        )


def _check_strategies(study: Study) -> None:
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


def _check_reference(study: Study) -> None:
    if study.reference not in study.strategies:
        raise ConfigError(
            f"no strategy '{study.reference}'; {nearest(study.reference, study.strategies)}", key="reference"
        )
    if study.strategies[study.reference].tasks is not None:
        raise ConfigError(
            f"others are compared with '{study.reference}', so it runs on every task; remove its tasks",
            key=f"strategies.{study.reference}.tasks",
        )


def _check_recording(study: Study, sites: Mapping[str, Site]) -> None:
    """Refuse to record or to audit a site that does not agree."""
    if study.record_round and not study.record_wire:
        raise ConfigError("nothing is recorded; set record_wire: true, or remove it", key="record_round")
    asked = [key for key in ("record_wire", "audit") if getattr(study, key) not in (False, "none")]
    if study.gallery and study.audit == "none":
        raise ConfigError("nothing is attacked; set audit: small, or remove it", key="gallery")
    for site in dict.fromkeys(site for task in study.tasks.values() for site in task.sites):
        if study.gallery and not sites[site].allow_gallery:
            raise ConfigError(
                f"site '{site}' does not allow its images to be shown; only the site itself may set "
                f"allow_gallery: true in config/sites/{site}.yaml. Otherwise remove gallery, or the site",
                key="gallery",
            )
        if asked and not sites[site].allow_recording:
            raise ConfigError(
                f"site '{site}' does not allow it; only the site itself may set allow_recording: true in "
                f"config/sites/{site}.yaml. Otherwise remove {asked[0]}, or the site",
                key=asked[0],
            )


def _check_task(name: str, task: Task) -> None:
    source = task.data.source
    if source not in SOURCES:
        raise ConfigError(
            f"unknown source '{source}'; {nearest(source, SOURCES)}", key=f"tasks.{name}.data.source"
        )
    _check_modalities(name, task, modalities_of(name, task))
    _check_outcome(name, task)
    if task.data.path and SOURCES[source].files != "either":
        raise ConfigError(
            f"'{source}' reads no file of all sites; remove path", key=f"tasks.{name}.data.path"
        )
    if task.split.source_test and SOURCES[source].files == "generated":
        raise ConfigError(
            f"'{source}' has no test set of its own; remove source_test",
            key=f"tasks.{name}.split.source_test",
        )


def _check_modalities(name: str, task: Task, found: tuple[Modality, ...]) -> None:
    if task.model.name == "fusion" and len(found) < 2:
        raise ConfigError(
            f"'fusion' joins several modalities, here is {found[0]} only; choose a model of that",
            key=f"tasks.{name}.model",
        )
    if task.model.name in ("gru", "transformer", "fusion") and not task.model.hidden:
        raise ConfigError(f"'{task.model.name}' needs a first width", key=f"tasks.{name}.model.hidden")


def _check_outcome(name: str, task: Task) -> None:
    wanted, known = task.data.outcome, SOURCES[task.data.source].outcomes
    if wanted and wanted not in known and known != ANY:
        hint = nearest(wanted, known) if known else "it has one outcome only; remove the key"
        raise ConfigError(
            f"'{task.data.source}' has no outcome '{wanted}'; {hint}", key=f"tasks.{name}.data.outcome"
        )


def _check_sites(name: str, task: Task) -> None:
    key = f"tasks.{name}.sites"
    if len(set(task.sites)) != len(task.sites):
        raise ConfigError("a site is named twice; name each once", key=key)
    for site in task.sites:
        if site in SITE_NAMES_TAKEN:
            raise ConfigError(f"'{site}' {SITE_NAMES_TAKEN[site]}; rename the site", key=key)
    held_out = f"tasks.{name}.split.held_out"
    for site in task.split.held_out:
        if site not in task.sites:
            raise ConfigError(f"no site '{site}' in the task; {nearest(site, task.sites)}", key=held_out)
    if task.split.held_out and task.split.folds:
        raise ConfigError(
            "folds test each patient in one of them, and a held-out site's patients would be tested in all; "
            "keep one",
            key=held_out,
        )
    if set(task.split.held_out) >= set(task.sites):
        raise ConfigError("all sites are held out and none trains; leave one in", key=held_out)


def _check_sizes(name: str, task: Task, min_patients: int) -> None:
    halvings, pixels = len(task.model.channels), task.data.pixels
    if task.model.name in ("cnn", "fusion") and pixels >> halvings < 1:
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
