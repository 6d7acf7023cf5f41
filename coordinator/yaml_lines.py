"""YAML with the line of every key, so that an error can say where it stands."""

import re
from pathlib import Path
from typing import Any

import yaml

from coordinator.errors import ConfigError

Lines = dict[tuple[str | int, ...], str]


class _Loader(yaml.SafeLoader):
    """YAML 1.2's scalars: 1e-3 is a number, `no` and `on` are text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":bool", ":float"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$", re.IGNORECASE), list("tTfF")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:\d+\.\d*|\.\d+|\d+(?=[eE]))(?:[eE][-+]?\d+)?$"),
    list("-+.0123456789"),
)


def load(path: Path) -> tuple[dict[str, Any], Lines]:
    """Read a mapping, and for the path of each key the text ``file:line``.

    Raises:
        ConfigError: the file is missing, is not YAML, repeats a key or holds no mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8") from None
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if not isinstance(node, yaml.MappingNode):
            raise ConfigError(f"{path}: expected keys and values, found {_kind(node)}")
        lines: Lines = {(): f"{path}:1"}
        _walk(node, (), path, lines)
        return loader.construct_document(node), lines
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{path}:{line}: not YAML: {error.problem}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{path}: not YAML: {error}") from None
    finally:
        loader.dispose()


def parse_scalar(text: str) -> Any:
    """Read one value as YAML would; text that is not YAML stays text."""
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, ValueError):
        return text


def _kind(node: yaml.Node | None) -> str:
    return "an empty file" if node is None else f"a {node.tag.rpartition(':')[2]}"


def _walk(node: yaml.Node, where: tuple[str | int, ...], path: Path, lines: Lines) -> None:
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            lines[*where, index] = f"{path}:{item.start_mark.line + 1}"
            _walk(item, (*where, index), path, lines)
    elif isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            line = f"{path}:{key.start_mark.line + 1}"
            if key.value in seen:
                raise ConfigError(f"{line}: key '{key.value}' stands twice; remove one")
            seen.add(key.value)
            lines[*where, key.value] = line
            _walk(value, (*where, key.value), path, lines)
