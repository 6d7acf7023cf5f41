"""What a study may say of events, and of tables beside a source's own."""

from typing import Final

from coordinator.column_rules import TAKEN
from coordinator.config import Events, Task
from coordinator.errors import ConfigError
from coordinator.loaders import modalities_of

NEEDED: Final = ("meds",)  # sources whose codes only the study can choose
TABLES: Final = {"eicu": ("lab",)}


def check_events(name: str, task: Task) -> None:
    """Check that a task says which codes are inputs where it must, and as it can be meant.

    Raises:
        ConfigError: the first problem found.
    """
    source, events, key = task.data.source, task.data.events, f"tasks.{name}.data"
    for table in task.data.tables:
        if table not in (known := TABLES.get(source, ())):
            hint = f"it can read {', '.join(known)}" if known else "remove the key"
            raise ConfigError(f"'{source}' has no table '{table}' to add; {hint}", key=f"{key}.tables")
    if (events is None) == (source in NEEDED):
        found = "needs to know which codes are inputs; add" if events is None else "knows its inputs; remove"
        raise ConfigError(f"'{source}' {found} events", key=f"{key}.events")
    if events is not None:
        _check_inputs(events, f"{key}.events")
        if "series" in modalities_of(name, task) and not (events.window_hours and events.numbers):
            raise ConfigError("a series needs window_hours and numbers", key=f"{key}.events")


def _check_inputs(events: Events, key: str) -> None:
    summaries = [f"{name}_{what}" for name in events.numbers for what in events.summaries]
    names = [*events.last, *summaries, *events.words, *events.flags]
    if not (names or events.age):
        raise ConfigError("no input; name last, numbers, words or flags", key=key)
    for name in names:
        if name in TAKEN or names.count(name) > 1:
            problem = "stands for something else" if name in TAKEN else "is the name of two inputs"
            raise ConfigError(f"'{name}' {problem}; rename it", key=key)
