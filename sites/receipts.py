"""Whether a site's ledger and the coordinator's record of it, ``receipts.json``, bear each other out."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from coordinator.errors import ConfigError, DataError
from coordinator.protocol.keys import COORDINATOR, Manifest
from coordinator.protocol.signing import COMMITTED, KEPT, START, is_signed, next_head
from sites.budget import of_spec
from sites.ledger import chained, in_order


def check_receipts(path: Path, site: str | None, ledger: Path, manifest: Manifest) -> tuple[int, int]:
    """Compare both sides; give how many commits there are, and of how many the site has a receipt.

    A site that was lost between a commit and the coordinator's word has none of that one.

    Raises:
        ConfigError: the file or the manifest has no such site.
        DataError: one of both was rewritten or cut off.
    """
    spec, rows = _read(path, site, manifest)
    name = str(site)
    _check_coordinator(path, name, spec, rows, manifest)
    in_order([row["heads"][name] for row in rows], ledger)
    receipts = receipts_in(ledger, spec)
    for row in rows:
        if receipt := receipts.get(row["number"]):
            _check_receipt(path, ledger, name, spec, row, receipt, manifest)
    if further := receipts.keys() - {row["number"] for row in rows}:
        raise DataError(
            f"{path}: lacks commit {max(further)}, of which {ledger} has a receipt: it was cut off"
        )
    return len(rows), len(receipts)


def receipts_in(ledger: Path, spec: str) -> dict[int, dict[str, Any]]:
    """List a ledger's receipts by commit, as far as the run still stood on these commits at its end."""
    earlier: dict[int, dict[str, Any]] = {}
    found: dict[int, dict[str, Any]] = {}
    for entry in of_spec((entry for _, _, entry in chained(ledger) if entry), spec):
        match entry["kind"], entry["position"]:
            case "Hello", _:  # from no commit, unless it says so next
                earlier, found = {**earlier, **found}, {}
            case "WentOn", [number]:
                known = {**earlier, **found}
                earlier, found = {}, {at: each for at, each in known.items() if at <= number}
            case "Receipt", [number]:
                found[number] = dict(entry)
    return found


def _read(path: Path, site: str | None, manifest: Manifest) -> tuple[str, list[dict[str, Any]]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        rows = [dict(row) for row in content["commits"]]
        spec = str(content["spec"])
        complete = all({"number", "head", "heads", "signatures"} <= row.keys() for row in rows)
        known = all(site in row["heads"] and site in row["signatures"] for row in rows)
    except (OSError, ValueError, KeyError, TypeError):
        raise ConfigError(f"--receipts {path}: not the coordinator's receipts.json") from None
    if not complete or not known or site not in manifest or COORDINATOR not in manifest:
        raise ConfigError(f"--receipts {path}: no heads or keys of site '{site}'; name it with --site")
    return spec, rows


def _check_coordinator(
    path: Path, site: str, spec: str, rows: list[dict[str, Any]], manifest: Manifest
) -> None:
    head = START
    for row in rows:
        what = (COMMITTED, site, row["number"], row["heads"][site])
        if not is_signed(manifest[site].sign, row["signatures"][site], spec, *what):
            raise DataError(f"{path}: '{site}' never signed the head of commit {row['number']}")
        head = next_head(head, row)
        if row["head"] != head:
            raise DataError(f"{path}: commit {row['number']} does not follow the one before: it was changed")


def _check_receipt(
    path: Path,
    ledger: Path,
    site: str,
    spec: str,
    row: Mapping[str, Any],
    receipt: Mapping[str, Any],
    manifest: Manifest,
) -> None:
    number, head = row["number"], str(receipt.get("head"))
    what = (KEPT, COORDINATOR, number, site, row["heads"][site], head)
    if not is_signed(manifest[COORDINATOR].sign, str(receipt.get("signature")), spec, *what):
        raise DataError(f"{ledger}: the coordinator never signed the receipt of commit {number}")
    if head != row["head"]:
        raise DataError(
            f"{path}: at commit {number} the coordinator told '{site}' another head than stands here: its "
            "record was rewritten"
        )
