"""The plain part of YAML a config file needs, with the line of every key so that an error can name it.

Values are read from the parser's events: maps with words as keys, lists, and YAML 1.2's scalars, so that
1e-3 is a number while `no` and 2020-01-01 are text. Anchors and tags, which let a few lines of YAML mean a
cycle, a program or more memory than there is, are refused.
"""

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import yaml

from coordinator.errors import ConfigError

Where = tuple[str | int, ...]
Lines = dict[Where, str]
Place = Callable[[int], str]  # a line's number to what an error calls it

LARGEST_FILE: Final = 256 * 1024  # bytes; a study has a few thousand
DEEPEST: Final = 20  # levels of keys; a study has five
# a longer run of digits, or one that YAML 1.1 and 1.2 read differently (010, 1_000), stays text
INTEGER: Final = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,18})")
NUMBER: Final = re.compile(r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?")
NO_TEXT: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
WORDS: Final = {"true": True, "false": False, "null": None, "~": None, "": None}


def load(path: Path, *, largest: int = LARGEST_FILE) -> tuple[dict[str, Any], Lines]:
    """Read a mapping of at most so many bytes, and for the path of each key the text ``file:line``.

    Raises:
        ConfigError: the file is missing, is not YAML, repeats a key or holds no mapping.
    """
    return parse(_text(path, largest), path)


def parse(text: str, path: Path) -> tuple[dict[str, Any], Lines]:
    """Read the text of a file as `load` does."""
    lines: Lines = {(): f"{path}:1"}
    value = _read(text, lambda line: f"{path}:{line}", (), lines)
    if not isinstance(value, dict):
        found = {type(None): "nothing", list: "a list"}.get(type(value), "a single value")
        raise ConfigError(f"{path}:1: expected keys and values, found {found}")
    return value, lines


def parse_setting(text: str, where: tuple[str, ...], lines: Lines) -> Any:
    """Read the value of ``--set KEY=VALUE`` as a config file would at that key.

    Raises:
        ConfigError: it is not YAML; a text with YAML's own signs in it needs quotes.
    """
    name = f"--set {'.'.join(where)}"
    if NO_TEXT.search(f"{name}{text}"):
        raise ConfigError(f"{name!a}: {text!a} has a character that is not text; remove it")
    lines[where] = name
    return _read(text, lambda _: name, where, lines)


def _text(path: Path, largest: int) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(largest + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    if len(content) > largest:
        raise ConfigError(f"{path}: over {largest} bytes, more than a study takes; check the path")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: byte {error.start} is not UTF-8; save the file as UTF-8") from None


def _read(text: str, place: Place, where: Where, lines: Lines) -> Any:
    try:
        parser = yaml.SafeLoader(text)
    except yaml.reader.ReaderError as error:
        line = place(text.count("\n", 0, error.position) + 1)
        raise ConfigError(f"{line}: character {error.character:#x} is not text; remove it") from None
    try:
        return _document(parser, place, where, lines)
    except yaml.MarkedYAMLError as error:
        line = place(error.problem_mark.line + 1 if error.problem_mark else 1)
        problem = error.problem or error.context
        raise ConfigError(
            f"{line}: not YAML: {problem}; put a text that holds YAML's signs in quotes"
        ) from None
    except (ValueError, OverflowError) as error:  # an escape beyond Unicode, a version of 5,000 digits
        raise ConfigError(f"{place(parser.line + 1)}: not YAML: {error}") from None


def _document(parser: yaml.SafeLoader, place: Place, where: Where, lines: Lines) -> Any:
    parser.get_event()  # the stream's start
    if parser.check_event(yaml.StreamEndEvent):
        return None
    parser.get_event()  # the document's start
    value = _node(parser, place, where, lines)
    parser.get_event()  # the document's end
    if not parser.check_event(yaml.StreamEndEvent):
        line = place(parser.peek_event().start_mark.line + 1)
        raise ConfigError(f"{line}: a second document begins; keep one, without '---' between")
    return value


def _node(parser: yaml.SafeLoader, place: Place, where: Where, lines: Lines) -> Any:
    event = parser.get_event()
    line = place(event.start_mark.line + 1)
    _check_plain(event, line)
    if len(where) > DEEPEST:
        raise ConfigError(f"{line}: nested deeper than {DEEPEST} levels; a study has five")
    if isinstance(event, yaml.SequenceStartEvent):
        return _sequence(parser, place, where, lines)
    if isinstance(event, yaml.MappingStartEvent):
        return _mapping(parser, place, where, lines)
    return _scalar(event, line)


def _sequence(parser: yaml.SafeLoader, place: Place, where: Where, lines: Lines) -> list[Any]:
    values: list[Any] = []
    while not parser.check_event(yaml.SequenceEndEvent):
        below = (*where, len(values))
        lines[below] = place(parser.peek_event().start_mark.line + 1)
        values.append(_node(parser, place, below, lines))
    parser.get_event()
    return values


def _mapping(parser: yaml.SafeLoader, place: Place, where: Where, lines: Lines) -> dict[str, Any]:
    values: dict[str, Any] = {}
    while not parser.check_event(yaml.MappingEndEvent):
        event = parser.get_event()
        line = place(event.start_mark.line + 1)
        _check_plain(event, line)
        if not isinstance(event, yaml.ScalarEvent):
            raise ConfigError(f"{line}: a key is a list or a map; expected a word")
        key = _checked_text(event.value, line)
        if key in values:
            raise ConfigError(f"{line}: key '{key}' stands twice; remove one")
        lines[*where, key] = line
        values[key] = _node(parser, place, (*where, key), lines)
    parser.get_event()
    return values


def _scalar(event: yaml.ScalarEvent, line: str) -> Any:
    text = _checked_text(event.value, line)
    if not event.implicit[0]:  # quoted, or a block of text
        return text
    if text.lower() in WORDS:
        return WORDS[text.lower()]
    if INTEGER.fullmatch(text):
        return int(text)
    if not NUMBER.fullmatch(text):
        return text
    if not math.isfinite(number := float(text)):
        raise ConfigError(f"{line}: {text[:40]} is too large for a number")
    return number


def _checked_text(text: str, line: str) -> str:
    if found := NO_TEXT.search(text):
        raise ConfigError(f"{line}: character {ord(found.group()):#x} is not text; remove it")
    return text


def _check_plain(event: yaml.Event, line: str) -> None:
    if getattr(event, "anchor", None):  # an alias has one too
        raise ConfigError(
            f"{line}: anchors and aliases (&name, *name) are not read; write the value out, or quote a text"
        )
    if tag := getattr(event, "tag", None):
        raise ConfigError(f"{line}: tags such as {tag[:40]!a} are not read; write the plain value")
