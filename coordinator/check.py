"""``python -m coordinator check``: the only validator of config files; imports no torch."""

import argparse
import json
import os
from pathlib import Path

from coordinator.config import Study
from coordinator.errors import ConfigError
from coordinator.hand_out import hand_out
from coordinator.plan import plan
from coordinator.study import line_of, read_study


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="config files; later ones win")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="set one key")
    parser.add_argument("--plan", type=Path, metavar="OUT", help="write what every job needs, as JSON")
    parser.add_argument(
        "--hand-out", type=Path, metavar="FOLDER",
        help="write into FOLDER/PLACE what each place of a study across hospitals is sent; the hospitals' "
        "files lie there, and are not looked for here",
    )  # fmt: skip
    parser.add_argument("--schema", action="store_true", help="print the JSON schema of a study")


def run(options: argparse.Namespace) -> int:
    """Check, and say what the study holds."""
    if options.schema:
        print(json.dumps(Study.model_json_schema(), indent=2, sort_keys=True))
        return 0
    files = options.files or [Path("config/config.yaml")]
    study, sites, lines = read_study(files, options.set)
    try:
        resolved = plan(
            study, sites, write=bool(options.plan or options.hand_out), elsewhere=bool(options.hand_out)
        )
    except ConfigError as error:
        if not error.key:
            raise
        raise ConfigError(f"{line_of(tuple(error.key.split('.')), lines)}: {error}") from None
    if options.plan:
        _write(resolved, options.plan)
    if options.hand_out:
        print(f"specs for {', '.join(hand_out(resolved, options.hand_out))}: {options.hand_out}")
    print(
        f"study '{study.name}': {len(study.tasks)} tasks, {len(study.strategies)} strategies, "
        f"{len(study.seeds)} seeds, {len(resolved['runs'])} runs"
    )
    return 0


def _write(resolved: dict[str, object], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.partial")
    partial.write_text(json.dumps(resolved, indent=1), encoding="utf-8")
    partial.rename(path)
