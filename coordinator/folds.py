"""Grouped k-fold: a task becomes k tasks, each of which tests another k-th of the patients."""

from coordinator.config import Strategy, Study, Task
from coordinator.yaml_lines import Lines


def with_folds(study: Study, lines: Lines) -> Study:
    """Put TASK_fold1 ... TASK_foldK in place of each task with folds; their keys keep the task's lines."""
    names = {name: _names(name, task) for name, task in study.tasks.items()}
    tasks = {
        each: _one_fold(study.tasks[name], fold)
        for name, folds in names.items()
        for fold, each in enumerate(folds, start=1)
    }
    strategies = {label: _over(strategy, names) for label, strategy in study.strategies.items()}
    for where, line in list(lines.items()):
        if len(where) > 1 and where[0] == "tasks":
            lines.update({("tasks", each, *where[2:]): line for each in names.get(str(where[1]), ())})
    return study.model_copy(update={"tasks": tasks, "strategies": strategies})


def _names(name: str, task: Task) -> list[str]:
    if task.split.folds is None or task.split.fold is not None:
        return [name]
    return [f"{name}_fold{fold}" for fold in range(1, task.split.folds + 1)]


def _one_fold(task: Task, fold: int) -> Task:
    if task.split.folds is None or task.split.fold is not None:
        return task
    title = f"{task.title} (fold {fold} of {task.split.folds})" if task.title else ""
    split = task.split.model_copy(update={"fold": fold})
    return task.model_copy(update={"split": split, "title": title})


def _over(strategy: Strategy, names: dict[str, list[str]]) -> Strategy:
    if strategy.tasks is None:
        return strategy
    tasks = tuple(each for name in strategy.tasks for each in names.get(name, [name]))
    return strategy.model_copy(update={"tasks": tasks})
