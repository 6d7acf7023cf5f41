"""``python -m coordinator admit``: put a site's keys on the manifest, after people compared fingerprints."""

import argparse
from pathlib import Path

from coordinator.errors import ConfigError
from coordinator.protocol.keys import Identity, Manifest, fingerprint, read_manifest, write_manifest


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("request", type=Path, help="what the site's `enrol` wrote")
    parser.add_argument("--manifest", type=Path, required=True, help="every party's public keys")
    parser.add_argument("--fingerprint", required=True, help="as the site's people told it")


def run(options: argparse.Namespace) -> int:
    """Admit one site; a running study lets it in within a second.

    Raises:
        ConfigError: the request is none, its fingerprint is another, or name or key stand there already.
    """
    requested = read_manifest(options.request)
    if len(requested) != 1:
        raise ConfigError(f"{options.request}: found {len(requested)} parties, expected one site's request")
    [(name, identity)] = requested.items()
    found = fingerprint(identity)
    if options.fingerprint.strip().lower() != found:
        raise ConfigError(
            f"{options.request}: the keys' fingerprint is {found}, not the one given; ask the site again "
            "over another line, and do not admit a request that does not fit"
        )
    manifest = read_manifest(options.manifest) if options.manifest.exists() else {}
    check(name, identity, manifest, options.manifest)
    write_manifest(options.manifest, {**manifest, name: identity})
    print(f"admitted '{name}' ({found}) to {options.manifest}, which now holds {', '.join(manifest)}, {name}")
    return 0


def check(name: str, identity: Identity, manifest: Manifest, path: Path) -> None:
    """Refuse to replace a site's keys silently, or to know one key by two names.

    Raises:
        ConfigError: name or key stand in the manifest.
    """
    if name in manifest:
        same = "these keys" if manifest[name] == identity else "other keys"
        raise ConfigError(f"{path}: '{name}' is admitted already, with {same}; remove it first")
    for other, known in manifest.items():
        if {known.curve, known.seal, known.sign} & {identity.curve, identity.seal, identity.sign}:
            raise ConfigError(f"{path}: a key of '{name}' is that of '{other}'; the site must enrol anew")
