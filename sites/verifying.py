"""``python -m sites ledger verify FILE``: whether a ledger is whole and bears out what others kept of it."""

import argparse
import json
from pathlib import Path

from rich.console import Console
from rich.table import Table

from coordinator.errors import ConfigError, DataError
from coordinator.protocol.keys import read_manifest
from sites.ledger import START, UNCOMPARED, head_of, in_order, released, verified
from sites.receipts import check_receipts


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("action", choices=["verify"], help="check the chain, and add up what left")
    parser.add_argument("file", type=Path, help="a site's ledger.jsonl, in its state folder")
    parser.add_argument("--head", help="the hash of the last line as noted earlier")
    parser.add_argument(
        "--costs", type=Path, help="the run's costs.json: the coordinator's count to compare with"
    )
    parser.add_argument(
        "--heads", type=Path, help="the run's ledgers.json: the heads that the coordinator kept, by commit"
    )
    parser.add_argument(
        "--receipts", type=Path, help="the run's receipts.json: what both sides signed; needs --manifest"
    )
    parser.add_argument("--manifest", type=Path, help="every party's public keys")
    parser.add_argument("--site", help="whose ledger it is, in these files")


def run(options: argparse.Namespace) -> int:
    """Verify and print.

    Raises:
        ConfigError: a file is missing.
        DataError: the ledger was changed or cut, or does not hold what the other side counted.
    """
    if not options.file.is_file():
        raise ConfigError(f"{options.file}: no such file; it lies in state/…/SITE/ledger.jsonl")
    sessions, head, unfinished = verified(options.file)
    if options.head and not _was_head(options.file, options.head):
        raise DataError(f"{options.file}: no line has the hash {options.head}: the ledger's end was cut off")
    if options.heads:
        kept = check_heads(options.heads, options.site, options.file)
        print(f"{options.file}: holds all {kept} heads that the coordinator kept, in their order")
    if options.receipts:
        print(f"{options.file}: {_bear_out(options)}")
    if options.costs:
        check_costs(options.costs, options.site, released(options.file))
    table = Table("session", "began", "spec", "kind", "messages", "bytes")
    for place, session in enumerate(sessions, start=1):
        for kind, size in session.sizes.items():
            counts = (str(session.messages[kind]), str(size))
            table.add_row(str(place), session.began, session.spec[:12], kind, *counts)
    Console().print(table)
    for number in unfinished:
        print(f"{options.file}:{number}: cut off while it was written, as a power cut does; it says nothing")
    print(f"{options.file}: the chain holds; head {head}")
    return 0


def _bear_out(options: argparse.Namespace) -> str:
    if not options.manifest:
        raise ConfigError("--receipts: name the --manifest whose keys signed them")
    manifest = read_manifest(options.manifest)
    commits, own = check_receipts(options.receipts, options.site, options.file, manifest)
    return f"both sides signed {commits} commits; of {own} this ledger has the coordinator's receipt"


def _was_head(path: Path, head: str) -> bool:
    return head == START or any(head_of(line) == head for line in path.read_bytes().splitlines())


def check_heads(path: Path, site: str | None, ledger: Path) -> int:
    """Find the heads that the coordinator kept, a commit each, in a ledger; give how many there are.

    Raises:
        ConfigError: the file has no such site.
        DataError: one is not there after the one before it.
    """
    try:
        heads = [str(head) for head in json.loads(path.read_text(encoding="utf-8"))[site]]
    except (OSError, ValueError, KeyError, TypeError):
        raise ConfigError(f"--heads {path}: no heads of site '{site}'; name it with --site") from None
    in_order(heads, ledger)
    return len(heads)


def check_costs(path: Path, site: str | None, written: int) -> None:
    """Compare what was released with what was counted at the socket when the run ended.

    Raises:
        ConfigError: the file has no such site.
        DataError: the counts differ.
    """
    try:
        costs = json.loads(path.read_text(encoding="utf-8"))[site]
    except (OSError, ValueError, KeyError):
        raise ConfigError(f"--costs {path}: no costs of site '{site}'; name it with --site") from None
    counted = sum(
        size for name, size in costs.items() if name.startswith("bytes_up.") and name not in UNCOMPARED
    )
    if counted != written:
        raise DataError(
            f"the ledger holds {written} bytes of what the finished run released, {path} says {counted:.0f}: "
            f"a difference of {counted - written:.0f}"
        )
