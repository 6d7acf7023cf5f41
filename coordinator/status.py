"""``python -m coordinator status``: how runs stand at this moment, from their state folders."""

import argparse
import json
import time
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from coordinator.errors import ConfigError
from coordinator.lease import is_held

STATUS: Final = "status.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "state", type=Path, help="the folder state/, or that of a study, a run, a coordinator"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of a table")


def run(options: argparse.Namespace) -> int:
    """Print every run below the folder.

    Raises:
        ConfigError: there is none.
    """
    paths = sorted(options.state.rglob(STATUS))
    if not paths:
        raise ConfigError(f"{options.state}: no {STATUS} below it; name the folder with the runs' state")
    found = [stands(path) for path in paths]
    if options.json:
        print("\n".join(json.dumps(each) for each in found))
        return 0
    table = Table("run", "state", "trial", "round", "commit", "connected", "waiting for", "since")
    for each in found:
        table.add_row(*cells(each))
    Console().print(table)
    return 0


def stands(path: Path) -> dict[str, Any]:
    """Read a run's status; who is there and waited for is said only while its coordinator runs.

    Raises:
        ConfigError: the file is no status.
    """
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())
        found["running"] = is_held(path.parent)
        if not found["running"]:
            found |= {"phase": _ended(path.parent), "connected": [], "waiting_for": []}
        cells(found)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ConfigError(f"{path}: not a status of this version ({error})") from None
    return found


def cells(found: dict[str, Any]) -> list[str]:
    """Give a run's row."""
    minutes, seconds = divmod(int(max(0.0, time.time() - found["written"])), 60)
    commit = str(found["commit"]) if found["commit"] >= 0 else "none"
    return [
        found["run"],
        found["phase"],
        f"{found['trial'] + 1}/{found['trials']}",
        f"{found['round']}/{found['rounds']}",
        commit,
        ", ".join(found["connected"]) or "-",
        ", ".join(found["waiting_for"]) or "-",
        f"{minutes}:{seconds:02}",
    ]


def _ended(folder: Path) -> str:
    try:
        ended = json.loads((folder / "exit.json").read_bytes())
    except (OSError, ValueError):
        return "not running: its process was killed"
    return "done" if ended["cause"] == "ok" else f"not running: {ended['cause']}"
