"""``python -m sites list``: the sites of a source that holds all sites' records, as a study's YAML."""

import argparse
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from coordinator.errors import ConfigError, DataError
from sites.datasets import DATASETS, dataset
from sites.owners import REST

REST_NAME = "others"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--source", choices=sorted(DATASETS), required=True, help="the loader")
    parser.add_argument("--input", type=Path, required=True, help="the file or folder of all sites' records")
    parser.add_argument("--by", default="hospital", help="what makes a site, such as hospital or region")
    parser.add_argument("--min", type=int, default=30, help="records of a site; smaller ones become one")


def run(options: argparse.Namespace) -> int:
    """Print the key `sites` and the task's list of them; no count below `--min` is printed."""
    loader = dataset(options.source)
    if not hasattr(loader, "groups"):
        raise ConfigError(f"--source: '{options.source}' has no groups to list; name its sites by hand")
    counts = loader.groups(options.input, options.by)
    for line in sites_of(counts, source=options.source, by=options.by, smallest=options.min):
        print(line)
    return 0


def sites_of(counts: Mapping[str, int], *, source: str, by: str, smallest: int) -> Iterator[str]:
    """Write the groups of at least `smallest` records as a study's sites, the others as one.

    Raises:
        DataError: no group is large enough.
    """
    large = {group: count for group, count in counts.items() if count >= smallest}
    if not large:
        raise DataError(f"no {by} has {smallest} records; lower --min, or choose another --by")
    names = [_name(by, group) for group in large]
    if len(set(names)) < len(names):
        raise DataError(f"two values of {by} give one name of a site; write the sites by hand")
    yield "sites:"
    for name, (group, count) in zip(names, large.items(), strict=True):
        title = f"{by.capitalize()} {group}" if group.isdigit() else group.capitalize()
        yield _line(name, title, source, group, f"{count} records")
    rest = sum(counts.values()) - sum(large.values())
    if rest:
        names.append(REST_NAME)
        told = f"{rest} records" if rest >= smallest else f"fewer than {smallest} records"
        yield _line(REST_NAME, "All others", source, REST, told)
    yield f"# the task's key: sites: [{', '.join(names)}]"


def _name(by: str, group: str) -> str:
    """Make a group's name one that a site can have."""
    plain = re.sub(r"[^a-z0-9]+", "_", group.lower()).strip("_")[:30]
    return plain if plain[:1].isalpha() else f"{by.lower()}_{plain}"


def _line(name: str, title: str, source: str, group: str, told: str) -> str:
    text = title.replace("\\", " ").replace('"', "'")
    value = group.replace("\\", "\\\\").replace('"', '\\"')
    return f'  {name}: {{name: {name}, title: "{text}", select: {{{source}: ["{value}"]}}}}  # {told}'
