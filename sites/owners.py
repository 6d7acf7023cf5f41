"""Whose a record is, where one file or folder holds the records of all sites."""

from collections.abc import Iterable, Sequence
from typing import Final

from coordinator.config import Site
from coordinator.errors import ConfigError
from coordinator.loaders import selection_of

REST: Final = "*"  # a site that selects this gets what no other site takes


def owners(sites: Sequence[Site], source: str) -> dict[str, str]:
    """Map what the source calls a site, in small letters, to the site's name; `REST` too where one takes it.

    Raises:
        ConfigError: two sites take the same.
    """
    found: dict[str, str] = {}
    for site in sites:
        for value in selection_of(site, source):
            other = found.setdefault(value.lower(), site.name)
            if other != site.name:
                raise ConfigError(
                    f"sites '{other}' and '{site.name}' both take '{value}' of '{source}'; "
                    f"correct sites.{site.name}.select.{source}"
                )
    return found


def owner(taken: dict[str, str], names: Iterable[str]) -> str | None:
    """Name the site that takes a record which goes by these names, the first that is taken counting."""
    for name in (*names, REST):
        if name.lower() in taken:
            return taken[name.lower()]
    return None
