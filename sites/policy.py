"""A site's ``policy.yaml``: read strictly, and written only where its steward's approvals stand."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from coordinator.config import Approved, Policy, Site
from coordinator.errors import ConfigError
from coordinator.outcome import write_bytes
from coordinator.study import checked
from coordinator.yaml_lines import Lines, load, parse

LARGEST_POLICY: Final = 8 * 1024 * 1024  # bytes; an approved run has about three thousand
APPROVED: Final = "approved"


def read_policy(path: Path) -> Policy:
    """Read a policy.

    Raises:
        ConfigError: it is missing, others may change it, or it says what no policy can, with file and line.
    """
    return _read(path)[0]


def site_of(policy: Policy, path: Path) -> Site | None:
    """Read the site's file that the policy names, if it names one.

    Raises:
        ConfigError: it is missing or no site's file, with file and line.
    """
    if policy.site_file is None:
        return None
    return checked(Site, *load(path.parent / policy.site_file))


def approve(path: Path, approvals: Mapping[str, Approved]) -> None:
    """Write approvals into a policy, whole or not at all, for its owner alone; all else stays as it is.

    Raises:
        ConfigError: the file is not written so that a block can be put into it.
    """
    policy, lines = _read(path)
    wanted = policy.model_copy(update={"approved": {**policy.approved, **approvals}})
    text = _with_block(path.read_text(encoding="utf-8"), lines, _block(wanted.approved))
    if checked(Policy, *parse(text, path)) != wanted:
        raise ConfigError(f"{path}: cannot be added to; write one key a line, none in braces")
    write_bytes(path, text.encode(), mode=0o600)


def _read(path: Path) -> tuple[Policy, Lines]:
    if path.is_file() and path.stat().st_mode & 0o022:
        raise ConfigError(f"{path}: others may change this policy; run `chmod 600 {path}`")
    values, lines = load(path, largest=LARGEST_POLICY)
    return checked(Policy, values, lines), lines


def _with_block(text: str, lines: Lines, block: list[str]) -> str:
    """Put the block where the old one stands, or at the end; comments after it are not of it."""
    old = text.splitlines()
    tops = {where[0]: place for where, place in lines.items() if len(where) == 1}
    numbers = {key: int(place.rpartition(":")[2]) - 1 for key, place in tops.items()}
    start = numbers.get(APPROVED, len(old))
    end = min((number for number in numbers.values() if number > start), default=len(old))
    while end > start and (not old[end - 1].strip() or old[end - 1].startswith("#")):
        end -= 1
    return "\n".join([*old[:start], *block, *old[end:]]) + "\n"


def _block(approvals: Mapping[str, Approved]) -> list[str]:
    block = [f"{APPROVED}:  # written by `python -m sites approve`"]
    for name, each in approvals.items():
        spec = [f"      {key}: {json.dumps(value)}" for key, value in each.spec.items()]
        keys = [f"    {key}: {json.dumps(getattr(each, key))}" for key in ("code", "manifest")]
        block += [f"  {name}:", *keys, "    spec:", *spec]
    return block
