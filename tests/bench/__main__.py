"""``python -m tests.bench``: ratios of things measured interleaved in one run; writes bench.json."""

import json
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench import split_step

ROWS = (split_step.measure,)


def main() -> None:
    """Measure every row, print the table, write the file."""
    rows = [measure() for measure in ROWS]
    table = Table("row", "ratio", "quartiles", "what")
    for row in rows:
        table.add_row(
            row["name"], f"{row['ratio']:.2f}", f"{row['low']:.2f} - {row['high']:.2f}", row["what"]
        )
    Console().print(table)
    Path("bench.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
