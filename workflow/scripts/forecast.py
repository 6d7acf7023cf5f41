"""What a study will take before it starts: its runs still to do, times what such runs took earlier.

Reads ``snakemake --summary`` from standard input. A run is expected to take what the same strategy took on
the same task on average: by this study's benchmark files, or by the kept table where it has none. A strategy
that was never run, what the others took on that task.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import pandas as pd
from rich.console import Console
from rich.table import Table

TOOK: Final = ["seconds", "cpu_seconds"]
OUTPUT: Final = re.compile(r"runs/(?P<task>[^/]+)/(?P<strategy>[^/]+)/(?P<seed>[^/]+)/weights\.sha256$")
HOUR: Final = 3600.0


def main(arguments: list[str] | None = None) -> int:
    """Print the forecast; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--benchmarks", type=Path, required=True, help="this study's benchmark files")
    parser.add_argument("--kept", type=Path, required=True, help="a table of earlier durations")
    parser.add_argument("--cores", type=int, default=1, help="how many runs go side by side")
    options = parser.parse_args(arguments)
    own = durations(options.benchmarks)
    kept = pd.read_csv(options.kept) if options.kept.exists() else own
    of_this_study = kept[kept.study == options.benchmarks.parent.name]
    rows = forecast(pending(sys.stdin), pd.concat([of_this_study, own]))
    show(rows, options.cores)
    return 0


def durations(benchmarks: Path) -> pd.DataFrame:
    """Give the mean seconds, wall and processor, by task and strategy of ``train/TASK/STRATEGY/SEED.tsv``."""
    found = [
        {"task": whole(path.parts[-3]), "strategy": path.parts[-2], **_took(path)}
        for path in sorted((benchmarks / "train").glob("*/*/*.tsv"))
    ]
    rows = pd.DataFrame(found, columns=["task", "strategy", *TOOK])
    means = rows.groupby(["task", "strategy"], sort=False)[TOOK].mean().reset_index()
    return means.assign(study=benchmarks.parent.name)


def pending(summary: Iterable[str]) -> pd.DataFrame:
    """Give the runs that Snakemake would start, one row each."""
    lines = (line.rstrip("\n").split("\t") for line in summary)
    found = [OUTPUT.search(line[0]) for line in lines if line[-1] != "no update"]
    runs = [(whole(match["task"]), match["strategy"]) for match in found if match]
    return pd.DataFrame(runs, columns=["task", "strategy"])


def forecast(runs: pd.DataFrame, took: pd.DataFrame) -> pd.DataFrame:
    """Give runs, seconds and processor seconds of each task's strategies, and what they are taken from.

    The last of several durations of a strategy counts; what nobody knows is missing.
    """
    known = took.drop_duplicates(["task", "strategy"], keep="last") if len(took) else took
    counted = runs.groupby(["task", "strategy"], sort=False).size().rename("runs").reset_index()
    if known.empty:
        return counted.assign(seconds=float("nan"), cpu_seconds=float("nan"), known_from="nothing yet")
    rows = counted.merge(known, how="left", on=["task", "strategy"])
    missing = rows.seconds.isna()
    others = rows[["task"]].merge(known.groupby("task")[TOOK].mean().reset_index(), how="left", on="task")
    rows["known_from"] = (~missing).map({True: "itself", False: "the task's other strategies"})
    rows.loc[missing, TOOK] = others.loc[missing, TOOK]
    rows.loc[rows.seconds.isna(), "known_from"] = "nothing yet"
    return rows


def show(rows: pd.DataFrame, cores: int) -> None:
    """Print a line a strategy, and the sum."""
    console = Console(width=100)
    table = Table("task", "strategy", "runs to do", "minutes a run", "CPU hours", "as it took", box=None)
    for row in rows.itertuples():
        each, hours = (row.seconds / 60, row.runs * row.cpu_seconds / HOUR)
        told = ("?", "?") if pd.isna(each) else (f"{each:.1f}", f"{hours:.2f}")
        table.add_row(row.task, row.strategy, str(row.runs), *told, row.known_from)
    console.print(table)
    known = rows.dropna(subset=TOOK)
    processor = (known.runs * known.cpu_seconds).sum() / HOUR
    wall = (known.runs * known.seconds).sum() / HOUR / cores
    unknown = int(rows.runs.sum() - known.runs.sum())
    uncounted = f"; {unknown} of them not counted, since none like them was run" if unknown else ""
    console.print(
        f"{int(rows.runs.sum())} runs to do: {processor:.2f} CPU hours, about {wall:.2f} hours with "
        f"{cores} side by side{uncounted}"
    )


def whole(task: str) -> str:
    """Name the task of which one is a fold."""
    return re.sub(r"_fold\d+$", "", task)


def _took(path: Path) -> dict[str, float]:
    row = pd.read_csv(path, sep="\t", na_values=["NA", "-"]).iloc[-1]
    run = Path(*path.with_suffix("").parts[-3:])
    # parties that fork servers start are no children of the job, whose own measure leaves them out
    of_parties = _paid(path.parents[4] / "runs" / run / "costs.json")
    return {"seconds": float(row["s"]), "cpu_seconds": max(float(row["cpu_time"]), of_parties)}


def _paid(costs: Path) -> float:
    if not costs.exists():
        return 0.0
    parties = json.loads(costs.read_text(encoding="utf-8")).values()
    return float(sum(party.get("cpu_seconds", 0.0) for party in parties))


if __name__ == "__main__":
    sys.exit(main())
