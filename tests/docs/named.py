"""What the documentation names: links, paths, commands with their options, targets of make, config keys."""

import argparse
import re
import shlex
from collections.abc import Iterator
from importlib import import_module
from typing import Any, Final

from containers.__main__ import COMMANDS as OF_CONTAINERS
from containers.__main__ import module_of
from coordinator.__main__ import COMMANDS as OF_COORDINATOR
from coordinator.config import Policy, Record, Site, Study
from sites.__main__ import COMMANDS as OF_SITES
from tests.docs.pages import ROOT, blocks, read

FOLDERS: Final = ("coordinator", "sites", "containers", "workflow", "config", "docs", "tests")
MODULES: Final = {
    "coordinator": {name: module for name, (module, _) in OF_COORDINATOR.items()},
    "sites": {name: module for name, (module, _) in OF_SITES.items()},
    "containers": {name: module_of(name).__name__ for name in OF_CONTAINERS},
}
FENCED: Final = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
LINK: Final = re.compile(r"\]\(([^)\s]+)\)")
CODE: Final = re.compile(r"`([^`]+)`")
CALL: Final = re.compile(r"python -m (coordinator|sites|containers)[ \n]+([a-z-]+)([^`&|;#\n]*)")
# what stands for a name of the reader's, as in config/sites/NAME.yaml
STANDS_FOR: Final = re.compile(r"(?<![A-Za-z])(?!README)[A-Z][A-Z_]+|[{}*<>…]")


def prose(page: str) -> str:
    """Give a page without its fenced blocks."""
    return FENCED.sub("", read(page))


def links(page: str) -> list[str]:
    """List a page's links into the repository."""
    return [each for each in LINK.findall(prose(page)) if "://" not in each]


def anchors(page: str) -> set[str]:
    """Name the headings of a page as links do."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def paths(page: str) -> Iterator[str]:
    """Name the files and folders of the repository that a page speaks of, without what it writes itself."""
    written = {block.value for block in blocks(page) if block.marker == "file"}
    for word in (word.rstrip(".,:") for code in CODE.findall(prose(page)) for word in code.split()):
        here = word.partition("/")[0] in FOLDERS and "/" in word
        if here and not STANDS_FOR.search(word) and word not in written:
            yield word


def calls(page: str) -> Iterator[tuple[str, str, list[str]]]:
    """Give every call of a program of ours: the program, the command, its words."""
    text = read(page).replace("\\\n", " ")
    for program, command, rest in CALL.findall(text):
        yield program, command, shlex.split(rest.partition(" -- ")[0].replace("'", " "))


def options_of(program: str, command: str) -> set[str]:
    """Name the options that a command has."""
    parser = argparse.ArgumentParser()
    import_module(MODULES[program][command]).add_arguments(parser)
    return set(parser._option_string_actions)


def targets() -> set[str]:
    """Name the targets of make."""
    return set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def config_keys() -> set[str]:
    """Name every key of studies, sites, policies and the cluster's profile, wherever it stands."""
    profile = (ROOT / "workflow" / "profiles" / "slurm" / "config.yaml").read_text()
    found = set(re.findall(r"^[ #]*([a-z_-]+):", profile, re.MULTILINE))

    def walk(record: type[Record]) -> None:
        for name, field in record.model_fields.items():
            found.add(name)
            for below in records_in(field.annotation):
                walk(below)

    for record in (Study, Site, Policy):
        walk(record)
    return found


def records_in(annotation: Any) -> Iterator[type[Record]]:
    """Give the records that a field holds."""
    if isinstance(annotation, type) and issubclass(annotation, Record):
        yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from records_in(argument)
