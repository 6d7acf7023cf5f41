"""What cannot be done with an outcome of more than two classes; said before anything runs."""

from collections.abc import Iterator

from coordinator.config import Privacy, Study
from coordinator.errors import ConfigError
from coordinator.loaders import classes_of
from coordinator.strategies import training_of

# defences of two classes' labels, and why no others
OF_TWO = {
    "label_epsilon": "randomised response here turns one of two labels into the other",
    "cut_gradient": "it hides which of two labels a record has, in the sum of both kinds' gradients",
    "detect_hijacking": "it tells gradients of one label from those of the other",
}


def check_several_classes(study: Study) -> None:
    """Refuse what reads two classes where a task has more.

    Raises:
        ConfigError: the first problem found.
    """
    for name, task in study.tasks.items():
        if classes := classes_of(task.data):
            for key, problem in (*_of_study(study), *_of_strategies(study, name)):
                raise ConfigError(f"{problem}, and '{name}' has {len(classes)} classes", key=key)


def _of_study(study: Study) -> Iterator[tuple[str, str]]:
    if study.evaluation == "federated":
        yield (
            "evaluation",
            "each site's estimates are of one ranking, with the outcome or without; set evaluation: scores",
        )
    if study.audit != "none":
        yield "audit", "attacks and their baselines read two classes; set audit: none"
    if study.subgroups:
        yield "subgroups", "AUROC by subgroup is of two classes; set subgroups: false"


def _of_strategies(study: Study, name: str) -> Iterator[tuple[str, str]]:
    off = Privacy()
    for label, strategy in study.strategies.items():
        if strategy.tasks is not None and name not in strategy.tasks:
            continue
        if training_of(study.tasks[name], strategy).class_weights != "none":
            own = strategy.training.class_weights is not None
            place = f"strategies.{label}" if own else f"tasks.{name}"
            yield (
                f"{place}.training.class_weights",
                "sites agree on how many records have the outcome, not on a count for each class; set none",
            )
        for defence, reason in OF_TWO.items():
            if getattr(strategy.privacy, defence) != getattr(off, defence):
                yield f"strategies.{label}.privacy.{defence}", f"{reason}; remove it"
