"""Writes what is derived from the config records: the tables of config/README.md and the JSON schema.

`python -m tests.config_keys` brings both up to date; tests/test_config.py fails where they are not.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from coordinator.config import Policy, Record, Site, Study

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "config" / "README.md"
SCHEMA = ROOT / "workflow" / "schemas" / "study.schema.json"
HEAD = "| key | default | meaning |\n|---|---|---|\n"
# what a user names freely, at the place where the key stands
NAMED = {
    "tasks": "TASK", "strategies": "LABEL", "files": "SOURCE", "select": "SOURCE", "sites": "SITE",
    "limits": "COLUMN", "times": "COLUMN", "last": "INPUT", "numbers": "INPUT", "words": "INPUT",
    "flags": "INPUT", "options": "KEYWORD", "approved": "WORK", "code": "PACKAGE", "manifest": "PARTY",
    "spec": "KEY",
}  # fmt: skip
TWICE = {"sites.SITE"}  # a site's keys have a table of their own


def rows(record: type[Record]) -> list[str]:
    """Write a record's keys as the rows of a Markdown table: key, default, meaning."""
    schema = record.model_json_schema()
    return [
        f"| `{key}` | {default} | {meaning} |"
        for key, default, meaning in _walk(schema, "", schema.get("$defs", {}))
    ]


def _walk(schema: dict[str, Any], prefix: str, known: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    required = schema.get("required", ())
    for name, value in schema["properties"].items():
        below = _record_below(value, known)
        key = f"{prefix}{name}"
        if name in NAMED and value.get("type") == "object":
            key += f".{NAMED[name]}"
        yield key, _default(name in required, value, below), value.get("description", "")
        if below and key not in TWICE:
            yield from _walk(below, f"{key}.", known)


def _record_below(value: dict[str, Any], known: dict[str, Any]) -> dict[str, Any] | None:
    for place in (value, *value.get("anyOf", ()), *value.get("patternProperties", {}).values()):
        if "$ref" in place:
            found: dict[str, Any] = known[place["$ref"].rsplit("/", 1)[-1]]
            return found
    return None


def _default(required: bool, value: dict[str, Any], below: dict[str, Any] | None) -> str:
    if required:
        return "required"
    default = value.get("default")
    if below or default in (None, "", {}):
        return ""
    return f"`{json.dumps(default)}`"


def readme(text: str) -> str:
    """Replace the tables of config/README.md by what the records say."""
    for record in (Study, Site, Policy):
        before, rest = text.split(f"<!-- {record.__name__}: keys -->\n")
        _, after = rest.split("<!-- end -->", 1)
        table = HEAD + "\n".join(rows(record))
        text = f"{before}<!-- {record.__name__}: keys -->\n{table}\n<!-- end -->{after}"
    return text


def schema() -> str:
    """Ask the validator for the JSON schema of a study."""
    command = [sys.executable, "-m", "coordinator", "check", "--schema"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    README.write_text(readme(README.read_text(encoding="utf-8")), encoding="utf-8")
    SCHEMA.write_text(schema(), encoding="utf-8")
