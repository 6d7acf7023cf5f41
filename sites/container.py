"""Whose container this is, where it is one site's own: its config lies in it, read-only."""

from pathlib import Path
from typing import Final

from coordinator.config import Site
from coordinator.errors import ConfigError
from coordinator.study import checked
from coordinator.yaml_lines import load

CONFIG: Final = Path("/etc/suture/site.yaml")


def check_container(site: str) -> None:
    """Refuse to act as one site in another one's container.

    Raises:
        ConfigError: naming both, or the config is no site's, with file and line.
    """
    if not CONFIG.is_file():
        return
    own = checked(Site, *load(CONFIG))
    if own.name != site:
        raise ConfigError(f"{CONFIG}: this container is that of '{own.name}', and '{site}' was to work in it")
