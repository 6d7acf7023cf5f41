"""Runs `snakemake --lint` and allows exactly one finding, where it does not apply.

Snakemake asks every rule for `container:` or `conda:`. A rule that calls `python -m containers` has its
walls from there instead; `container:` would mount the whole working directory into every job.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ALLOWED = "Specify a conda environment or container for each rule.:"
OWN_WALLS = "python -m containers "


def main() -> int:
    """Print the findings that remain; returns 1 if there are any."""
    command = [sys.executable, "-m", "snakemake", "--lint"]
    done = subprocess.run(command, capture_output=True, text=True)
    found = list(findings(done.stdout + done.stderr))
    if done.returncode and not found:  # not a finding: the workflow could not be read
        print(done.stdout + done.stderr, file=sys.stderr)
        return done.returncode
    left = [f"{place}: {title}" for place, title in found if not allowed(place, title)]
    print("\n".join(left) or "snakemake --lint: nothing found beside rules with walls of their own")
    return 1 if left else 0


def findings(text: str) -> Iterator[tuple[str, str]]:
    """Read pairs of (what is faulted, title) from what `snakemake --lint` prints."""
    place = ""
    for line in text.splitlines():
        if heading := re.match(r"Lints for (.+):$", line):
            place = heading[1]
        elif title := re.match(r"    \* (.+)$", line):
            yield place, title[1]


def allowed(place: str, title: str) -> bool:
    """Say whether a finding is the one that a rule with its own walls may have."""
    rule = re.match(r"rule (\w+) \(line \d+, (.+)\)$", place)
    if rule is None or title != ALLOWED:
        return False
    return OWN_WALLS in text_of_rule(rule[1], Path(rule[2]))


def text_of_rule(name: str, path: Path) -> str:
    """Cut one rule out of its file."""
    rules = re.split(r"^(?=rule \w+:)", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return next((text for text in rules if text.startswith(f"rule {name}:")), "")


if __name__ == "__main__":
    sys.exit(main())
