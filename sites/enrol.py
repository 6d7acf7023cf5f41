"""``python -m sites enrol``: make a site's lasting keys at the site, and the request to be admitted."""

import argparse
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from coordinator.config import Name
from coordinator.errors import ConfigError
from coordinator.protocol.keys import COORDINATOR, fingerprint, pair, write_manifest


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--site", required=True, help="the site's name, as studies call it")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="made for you alone (700)")


def run(options: argparse.Namespace) -> int:
    """Write the secret keys, which never leave, and the request, which holds the public ones.

    Raises:
        ConfigError: no site can have this name, others may enter the folder, or keys are there already.
    """
    name, folder = options.site, options.out
    try:
        TypeAdapter(Name).validate_python(name)
    except ValidationError:
        raise ConfigError(f"--site {name}: use small letters, digits and _, as in north_general") from None
    if name == COORDINATOR:
        raise ConfigError(f"--site {name}: all sites talk to the party of this name; choose another")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_mode & 0o077:
        raise ConfigError(f"--out {folder}: others may enter this folder; run `chmod 700 {folder}`")
    identity = pair(folder / f"{name}.secret")
    request = folder / f"{name}.request.json"
    write_manifest(request, {name: identity})
    print(f"secret keys, which stay here: {folder / f'{name}.secret'}")
    print(f"request, to be sent to the coordinator: {request}")
    print(f"fingerprint, to be told over another line, such as the telephone: {fingerprint(identity)}")
    return 0
