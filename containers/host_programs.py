"""What a sandbox without an image shows of the host: its programs, read-only, and no file beside them."""

import sys
from collections.abc import Iterator
from pathlib import Path

from containers.sandbox import Bind, Network, same_place

ROOT = Path(__file__).resolve().parent.parent
# what lies in / as a folder, or as a link into /usr
SYSTEM = ("usr", "bin", "sbin", "lib", "lib32", "lib64")
# what programs look up; no other settings of the host, and none of its secrets
SETTINGS = ("ld.so.cache", "alternatives", "localtime", "passwd", "group", "nsswitch.conf", "fonts")
SETTINGS_OF_THE_NETWORK = ("hosts", "resolv.conf", "ssl/certs")
PACKAGES = ("coordinator", "sites", "containers", "workflow")
# coordinators have no part of `sites` that could read a record
SHOWN = {"coordinator": PACKAGES[:1], "sites": PACKAGES[:2]}


def settings(network: Network) -> Iterator[Path]:
    """Name the files and folders of /etc that are shown, whether or not they are there."""
    for name in (*SETTINGS, *(SETTINGS_OF_THE_NETWORK if network == "host" else ())):
        yield Path("/etc", name)


def interpreter() -> Iterator[Bind]:
    """Show Python where it lies outside /usr: what an environment was made from, and the environment."""
    for prefix in dict.fromkeys((sys.base_prefix, sys.prefix)):
        if not Path(prefix).is_relative_to("/usr"):
            yield same_place(Path(prefix))


def code(command: tuple[str, ...]) -> Iterator[Bind]:
    """Show what a command runs: ``python -m NAME`` its own package and what that imports, or a script."""
    module = command[2] if command[1:2] == ("-m",) else ""
    if len(command) > 1 and Path(command[1]).is_file():
        yield same_place(Path(command[1]))
    for name in SHOWN.get(module, PACKAGES):
        if (ROOT / name).is_dir():
            yield same_place(ROOT / name)


def folders_of_system() -> Iterator[Path]:
    """Name the system's folders in /; those that are links are links inside too."""
    yield from (path for name in SYSTEM if (path := Path("/", name)).is_dir() and not path.is_symlink())


def links_of_system() -> Iterator[Path]:
    """Name the links in / that lead into the system's folders."""
    yield from (path for name in SYSTEM if (path := Path("/", name)).is_symlink())
