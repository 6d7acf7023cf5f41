"""A part of a study: some of its tasks, under its name and with its results."""

from coordinator.config import Study
from coordinator.errors import ConfigError
from coordinator.names import nearest


def chosen_tasks(study: Study) -> Study:
    """Keep the tasks that `only` names, all where it names none, and the strategies that take one of them.

    Raises:
        ConfigError: there is no such task.
    """
    for place, wanted in enumerate(study.only):
        if wanted not in study.tasks:
            hint = nearest(wanted, study.tasks)
            raise ConfigError(f"unknown task '{wanted}'; {hint}", key=f"only.{place}")
    if not study.only:
        return study
    kept = {name: task for name, task in study.tasks.items() if name in study.only}
    strategies = {
        label: strategy if strategy.tasks is None else strategy.model_copy(update={"tasks": left})
        for label, strategy in study.strategies.items()
        if (left := tuple(name for name in strategy.tasks or kept if name in kept))
    }
    return study.model_copy(update={"only": (), "tasks": kept, "strategies": strategies})
