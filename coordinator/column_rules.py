"""What a study may say of a table's columns, and of the sites that share one file."""

from collections.abc import Iterator, Mapping
from typing import Final

from coordinator.config import Columns, Site, Task
from coordinator.errors import ConfigError
from coordinator.loaders import is_dealt, selection_of

NEEDED: Final = ("table", "image_folder")  # sources whose columns only the study can explain
ALLOWED: Final = (*NEEDED, "dicom", "medmnist")
# what preparation itself adds to a table
PLACES: Final = frozenset({"file", "row"})
TAKEN: Final = PLACES | {
    "record_id", "patient_id", "label", "record", "patient", "role", "place", "source_test", "with_series",
    "with_image",
}  # fmt: skip
PREFIXES: Final = ("series:", "image:")
Problem = tuple[str, str]  # the key below `columns`, and what is wrong with it


def check_columns(name: str, task: Task) -> None:
    """Check that a task explains its columns where it must, and as it can be meant.

    Raises:
        ConfigError: the first problem found.
    """
    source, columns, key = task.data.source, task.data.columns, f"tasks.{name}.data.columns"
    if columns is None:
        if source in NEEDED:
            raise ConfigError(
                f"'{source}' needs to know what the table's columns mean; add columns with patient, "
                "label and the inputs (config/README.md)",
                key=key,
            )
        return
    if source not in ALLOWED:
        raise ConfigError(f"'{source}' knows its own columns; remove it", key=key)
    if source == "table" and not _inputs(columns):
        raise ConfigError("a table without inputs; name numeric or categorical columns", key=key)
    for check in (_inputs_apart, _names, _words, _limits, _times, _people):
        for below, problem in check(columns):
            raise ConfigError(problem, key=f"{key}.{below}")


def check_selections(name: str, task: Task, sites: Mapping[str, Site]) -> None:
    """Check that no two sites of a task take the same records of a file that holds all sites'.

    Raises:
        ConfigError: naming both sites.
    """
    if not is_dealt(task.data):
        return
    takers: dict[str, str] = {}
    for site in task.sites:
        for word in selection_of(sites[site], task.data.source):
            other = takers.setdefault(word.strip().lower(), site)
            if other != site:
                raise ConfigError(
                    f"'{other}' and '{site}' both take '{word}' of '{task.data.source}'; correct their "
                    f"select.{task.data.source}",
                    key=f"tasks.{name}.sites",
                )


def _inputs(columns: Columns) -> tuple[str, ...]:
    return (*columns.numeric, *columns.categorical)


def _inputs_apart(columns: Columns) -> Iterator[Problem]:
    inputs = _inputs(columns)
    for name in inputs:
        if inputs.count(name) > 1:
            yield _kind(columns, name), f"'{name}' is named twice as an input; name it once"
    for meaning in ("label", "patient", "record", "image", "prediction_time"):
        if (name := getattr(columns, meaning)) in inputs:
            yield _kind(columns, name), f"'{name}' is the {meaning} too, and no input; remove it here"


def _names(columns: Columns) -> Iterator[Problem]:
    for meaning in ("patient", "record", "label"):
        if getattr(columns, meaning) in PLACES:
            yield meaning, f"'{getattr(columns, meaning)}' is kept for a row's place; rename the column"
    named = [(each, getattr(columns, each)) for each in ("image", "site", "age", "sex", "prediction_time")]
    named += [(_kind(columns, name), name) for name in _inputs(columns)]
    named += [(f"times.{feature}", name) for feature, name in columns.times.items()]
    for meaning, name in named:
        if name is not None and (name in TAKEN or name.startswith(PREFIXES)):
            yield meaning, f"'{name}' has a meaning in prepared data; rename the column"


def _words(columns: Columns) -> Iterator[Problem]:
    if columns.classes:
        yield from _classes(columns)
        return
    positive, negative = ({_plain(word) for word in words} for words in (columns.positive, columns.negative))
    if not positive or not negative:
        yield "positive" if not positive else "negative", "no word; name at least one"
    for word in sorted(positive & negative):
        yield "negative", f"'{word}' is among the positive words too; keep one"


def _classes(columns: Columns) -> Iterator[Problem]:
    words, plain = [_plain(word) for word in columns.classes], Columns(patient="", label="")
    for meaning in ("positive", "negative"):
        if getattr(columns, meaning) != getattr(plain, meaning):
            yield meaning, "classes names the words of each outcome; remove it, or classes"
    if len(words) < 3:
        yield "classes", f"{len(words)} named; of two classes say positive and negative instead"
    if "stratified" in words:
        yield "classes", "'stratified' stands for the mean over sites in the tables; rename the class"
    if repeated := sorted({word for word in words if words.count(word) > 1}):
        yield "classes", f"'{repeated[0]}' is named twice; name each class once"
    if blank := sorted(({_plain(word) for word in columns.missing} | {""}) & set(words)):
        yield "classes", f"'{blank[0]}' is a missing value and no class; remove it here"


def _limits(columns: Columns) -> Iterator[Problem]:
    for name, (low, high) in columns.limits.items():
        if name not in columns.numeric:
            yield f"limits.{name}", f"'{name}' is no numeric input; add it to numeric, or remove it"
        if not low < high:
            yield f"limits.{name}", f"{low} is not below {high}; write the lowest value first"


def _times(columns: Columns) -> Iterator[Problem]:
    if columns.times and columns.prediction_time is None:
        yield "times", "no prediction_time to compare with; name its column"
    if columns.prediction_time is not None and not columns.times:
        yield "prediction_time", "no input's time to compare with it; name them in times"
    meanings = ("patient", "record", "label", "age", "sex", "site", "image", "prediction_time")
    used = {getattr(columns, meaning) for meaning in meanings} | set(_inputs(columns))
    for feature, time in columns.times.items():
        if feature not in _inputs(columns):
            yield f"times.{feature}", f"'{feature}' is no input; remove it"
        if time in used:
            yield f"times.{feature}", f"'{time}' has another meaning already; name the column with the time"


def _people(columns: Columns) -> Iterator[Problem]:
    if columns.age in columns.categorical:
        yield "age", f"'{columns.age}' holds words; ages are numbers"
    if columns.sex in columns.numeric:
        yield "sex", f"'{columns.sex}' is a numeric input; make it a categorical one"


def _kind(columns: Columns, name: str) -> str:
    return "numeric" if name in columns.numeric else "categorical"


def _plain(word: str) -> str:
    return word.strip().lower().removesuffix(".0")
