"""Key pairs: for the encrypted socket (CURVE), for sealing parts from site to site, for signatures.

``python -m coordinator keys`` makes fresh ones for a run on one host.
"""

import argparse
import base64
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from nacl.public import PrivateKey
from nacl.signing import SigningKey

from coordinator.errors import ConfigError
from coordinator.outcome import write_json

COORDINATOR = "coordinator"
KEYS = ("curve", "seal", "sign")


@dataclass(frozen=True)
class Secret:
    """A party's own secret keys, 32 bytes each."""

    curve: bytes
    seal: bytes
    sign: bytes = bytes(32)


@dataclass(frozen=True)
class Identity:
    """A party's public keys, 32 bytes each."""

    curve: bytes
    seal: bytes
    sign: bytes = bytes(32)


Manifest = dict[str, Identity]


def make(folder: Path, names: list[str]) -> None:
    """Write ``NAME.secret`` (mode 600) for every party and the public ``manifest.json``."""
    write_manifest(folder / "manifest.json", {name: pair(folder / f"{name}.secret") for name in names})


def pair(path: Path) -> Identity:
    """Write a party's new secret keys (mode 600); give the public ones.

    Raises:
        ConfigError: the file is there already, or cannot be made.
    """
    curve, seal, sign = PrivateKey.generate(), PrivateKey.generate(), SigningKey.generate()
    _write(path, {"curve": bytes(curve), "seal": bytes(seal), "sign": bytes(sign)})
    return Identity(bytes(curve.public_key), bytes(seal.public_key), bytes(sign.verify_key))


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write public keys by party, whole or not at all."""
    write_json(
        path,
        {name: {key: _text(getattr(each, key)) for key in KEYS} for name, each in manifest.items()},
    )


def fingerprint(identity: Identity) -> str:
    """Hash the public keys for people to compare over another line: 128 bits in eight groups."""
    found = hashlib.sha256(identity.curve + identity.seal + identity.sign).hexdigest()[:32]
    return "-".join(found[start : start + 4] for start in range(0, 32, 4))


def read_secret(path: Path) -> Secret:
    """Read a party's secret keys.

    Raises:
        ConfigError: the file is missing, no key file, or readable by others.
    """
    if path.is_file() and path.stat().st_mode & 0o077:
        raise ConfigError(f"{path}: others may read this key; run `chmod 600 {path}`")
    return Secret(**_keys(_read(path), path))


def read_manifest(path: Path) -> Manifest:
    """Read every party's public keys, by name.

    Raises:
        ConfigError: the file is missing or no manifest.
    """
    return {name: Identity(**_keys(entry, path)) for name, entry in _read(path).items()}


def _write(path: Path, keys: dict[str, bytes]) -> None:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be made ({error.strerror}); give a new, empty folder") from None
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump({name: _text(key) for name, key in keys.items()}, file)


def _read(path: Path) -> dict[str, dict[str, str]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: not a key file ({error}); make keys anew") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: not a key file; make keys anew")
    return content


def _keys(entry: object, path: Path) -> dict[str, bytes]:
    try:
        keys = {name: base64.b64decode(entry[name], validate=True) for name in KEYS}  # type: ignore[index]
    except (KeyError, TypeError, ValueError):
        raise ConfigError(f"{path}: not a key file; make keys anew") from None
    if any(len(key) != 32 for key in keys.values()):
        raise ConfigError(f"{path}: a key has not 32 bytes; make keys anew")
    return keys


def _text(key: bytes) -> str:
    return base64.b64encode(key).decode()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--out", type=Path, required=True, help="an existing private folder")
    parser.add_argument("names", nargs="+", metavar="PARTY")


def run(options: argparse.Namespace) -> int:
    """Make the keys of a run on one host."""
    if not options.out.is_dir() or options.out.stat().st_mode & 0o077:
        raise ConfigError(f"{options.out}: expected an existing folder that only you may enter (mode 700)")
    make(options.out, options.names)
    return 0
