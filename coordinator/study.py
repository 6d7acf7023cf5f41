"""Reads config files into a checked study, and says where an error stands."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from coordinator.chosen import chosen_tasks
from coordinator.config import Record, Site, Study
from coordinator.errors import ConfigError
from coordinator.folds import with_folds
from coordinator.names import nearest
from coordinator.yaml_lines import Lines, Where, load, parse_setting

MOST_SHOWN: Final = 20  # problems; more rarely have a cause of their own
Checked = TypeVar("Checked", bound=Record)


def read_study(files: Sequence[Path], settings: Iterable[str] = ()) -> tuple[Study, dict[str, Site], Lines]:
    """Merge config files and ``key=value`` settings, later ones winning, and check them.

    Returns the study, its sites by name (from ``sites/`` in the config folder), and each key's line.

    Raises:
        ConfigError: every problem found, each with file and line.
    """
    merged: dict[str, Any] = {}
    lines: Lines = {}
    for path in files:
        values, places = load(path)
        _merge(merged, values)
        lines.update(places)
    for setting in settings:
        _set(merged, setting, lines)
    study = chosen_tasks(checked(Study, merged, lines))
    folder, sites = _sites_folder(files[0]), {}
    for label, task in study.tasks.items():
        for index, name in enumerate(task.sites):
            where = ("tasks", label, "sites", index)
            needs_none = isinstance(merged["tasks"][label]["sites"], int)
            bare = Site(name=name) if needs_none and not (folder / f"{name}.yaml").is_file() else None
            found = _inline(study, name, folder, lines) or bare
            sites[name] = found or _read_site(folder, name, line_of(where, lines))
    return with_folds(study, lines), sites, lines


def checked(record: type[Checked], values: Mapping[str, Any], lines: Lines) -> Checked:
    """Turn plain values into a record.

    Raises:
        ConfigError: one line per problem: file and line, key, what was found and expected.
    """
    try:
        return record.model_validate_json(json.dumps(values))
    except ValidationError as error:
        texts = [_describe(record, problem, lines) for problem in error.errors()[:MOST_SHOWN]]
        if (more := error.error_count() - len(texts)) > 0:
            texts.append(f"and {more} more problems; correct these first")
        raise ConfigError("\n".join(texts)) from None


def data_root(study: Study) -> Path:
    """Find the folder with the hospitals' files.

    Raises:
        ConfigError: neither the study nor the environment names one, or its name cannot be a folder's.
    """
    root = study.data_root or os.environ.get("SUTURE_DATA_ROOT")
    if not root:
        raise ConfigError(
            "this study reads hospital files and no folder was given; set it with "
            "`make run DATA_ROOT=folder`, `--config data_root=folder` or SUTURE_DATA_ROOT",
            key="data_root",
        )
    try:
        folder = Path(root).expanduser()
        folder.exists()
    except (OSError, RuntimeError, ValueError) as error:  # too long, not allowed, nobody's home
        raise ConfigError(f"'{root[:80]}' cannot be a folder ({error})", key="data_root") from None
    return folder


def _merge(into: dict[str, Any], values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def _set(merged: dict[str, Any], setting: str, lines: Lines) -> None:
    key, equals, text = setting.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set {setting}: expected key=value, for example seeds=[0,1]")
    where = tuple(key.split("."))
    for old in [known for known in lines if known[: len(where)] == where]:
        del lines[old]
    value = parse_setting(text, where, lines)
    *path, last = where
    place = merged
    for step in path:
        place = place.setdefault(step, {})
        if not isinstance(place, dict):
            raise ConfigError(f"--set {setting}: '{step}' holds a value, not further keys")
    place[last] = value


def _inline(study: Study, name: str, folder: Path, lines: Lines) -> Site | None:
    site = study.sites.get(name)
    if site and site.name != name:
        place = line_of(("sites", name, "name"), lines)
        raise ConfigError(f"{place}: name is '{site.name}', expected '{name}' as its key is")
    if site and (folder / f"{name}.yaml").is_file():
        _check_granted(site, _read_site(folder, name, line_of(("sites", name), lines)), lines)
    return site


def _check_granted(entry: Site, own: Site, lines: Lines) -> None:
    """Refuse a study's entry that allows what the site's own file does not."""
    more = {
        "allow_recording": entry.allow_recording and not own.allow_recording,
        "allow_gallery": entry.allow_gallery and not own.allow_gallery,
        "allow_models": not set(entry.allow_models) <= set(own.allow_models),
    }
    for key in (key for key, granted in more.items() if granted):
        raise ConfigError(
            f"{line_of(('sites', entry.name, key), lines)}: the study's entry of '{entry.name}' allows what "
            f"the site's own file does not; only config/sites/{entry.name}.yaml may say {key}. Otherwise "
            "remove it here, or give the entry another name"
        )


def _sites_folder(first: Path) -> Path:
    for folder in first.resolve().parents:
        if (folder / "sites").is_dir() and folder.name == "config":
            return folder / "sites"
    return first.resolve().parent / "sites"


def _read_site(folder: Path, name: str, line: str) -> Site:
    path = folder / f"{name}.yaml"
    if not path.is_file():
        known = [file.stem for file in folder.glob("*.yaml")]
        raise ConfigError(f"{line}: site '{name}' has no file {path}; {nearest(name, known)}")
    values, lines = load(path)
    site = checked(Site, values, lines)
    if site.name != name:
        place = line_of(("name",), lines)
        raise ConfigError(f"{place}: name is '{site.name}', expected '{name}' as the file is called")
    return site


def _describe(record: type[Record], problem: ErrorDetails, lines: Lines) -> str:
    where = tuple(part for part in problem["loc"] if part in ("[key]",) or not _is_branch(part))
    place = line_of(where, lines)
    name = ".".join(str(part) for part in where)
    if problem["type"] == "extra_forbidden":
        known = _keys_at(record, where[:-1])
        return f"{place}: unknown key '{name}'; {nearest(str(where[-1]), known)}"
    if problem["type"] == "missing":
        return f"{place}: '{name}' is missing; add it"
    found = json.dumps(problem["input"], default=str)
    text = problem["msg"].removeprefix("Value error, ")
    return f"{place}: '{name}' is {found[:80]}; {text[0].lower()}{text[1:]}"


def _is_branch(part: object) -> bool:
    # pydantic adds the name of a union's branch to the place, such as "constrained-str"
    return isinstance(part, str) and ("[" in part or part in {"constrained-str", "str"})


def line_of(where: Where, lines: Lines) -> str:
    """Give ``file:line`` of a key, or of the nearest one above it."""
    for length in range(len(where), -1, -1):
        if where[:length] in lines:
            return lines[where[:length]]
    return "config"


def _keys_at(record: type[Record], where: tuple[str | int, ...]) -> Iterable[str]:
    fields = record.model_fields
    for part in where:
        fields = _fields_below(fields[part].annotation) if part in fields else fields
    return fields


def _fields_below(annotation: Any) -> dict[str, Any]:
    if isinstance(annotation, type) and issubclass(annotation, Record):
        return annotation.model_fields
    for argument in getattr(annotation, "__args__", ()):
        if below := _fields_below(argument):
            return below
    return {}
