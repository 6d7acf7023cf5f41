"""``python -m tests.bench [ROW...]``: ratios of things measured in turn in one run; writes bench.json.

Every row is measured in a process of its own, so that none finds another's memory, threads or sockets.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

MEASURE = "import json, sys, tests.bench.rows as r; json.dump(r.ROWS[sys.argv[1]](), open(sys.argv[2], 'w'))"


def main(wanted: list[str]) -> None:
    """Measure the rows, all by default, print the table, write the file."""
    from tests.bench.rows import ROWS

    if unknown := [name for name in wanted if name not in ROWS]:
        sys.exit(f"tests.bench: no row {', '.join(unknown)}; there are {', '.join(ROWS)}")
    rows = []
    for name in wanted or ROWS:
        print(f"{name} ...", file=sys.stderr, flush=True)
        rows += measured(name)
    show(rows)
    Path("bench.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def show(rows: list[dict[str, Any]]) -> None:
    """Print a table of rows."""
    table = Table("row", "ratio", "quartiles", "what")
    for row in rows:
        ratios = (f"{row['ratio']:.3g}", f"{row['low']:.3g} - {row['high']:.3g}")
        table.add_row(row["name"], *ratios, row["what"])
    Console().print(table)


def measured(name: str) -> list[dict[str, Any]]:
    """Measure one of `ROWS`, which may give several."""
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder) / "row.json"
        subprocess.run([sys.executable, "-c", MEASURE, name, found], check=True)
        rows = json.loads(found.read_text())
    return rows if isinstance(rows, list) else [rows]


if __name__ == "__main__":
    main(sys.argv[1:])
