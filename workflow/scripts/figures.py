"""Draws a study's figures and tables for a paper: ``figures.py --results FOLDER --out FOLDER``.

Trains nothing and reads nothing but tables, so it can be run again whenever a figure is to look different.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from report import PARTS
from reporting import gallery, result_tables
from reporting.cells import Table
from reporting.charts import unchecked
from reporting.files import MissingFile, Results, distinct, read_results
from reporting.paper import tabular, vector_images


def main(arguments: list[str] | None = None) -> int:
    """Read the results, write an SVG and a PDF of every figure and a LaTeX file of every table."""
    parser = argparse.ArgumentParser(description="draw a study's figures and tables for a paper")
    parser.add_argument("--results", type=Path, required=True, help="the study's results folder")
    parser.add_argument("--out", type=Path, required=True, help="the folder to write them to")
    options = parser.parse_args(arguments)
    try:
        results = read_results(options.results)
    except MissingFile as error:
        print(f"figures: {error}", file=sys.stderr)
        return 2
    options.out.mkdir(parents=True, exist_ok=True)
    for name, content in drawn(results):
        partial = options.out / f".{name}.{os.getpid()}.partial"
        partial.write_bytes(content)
        partial.rename(options.out / name)
    return 0


def drawn(results: Results) -> Iterator[tuple[str, bytes]]:
    """Give every file's name and content."""
    for task in distinct(results.tables["variants.csv"], "task"):
        for figure in (each for found in gallery.figures_of(results, task).values() for each in found):
            stem = f"{task}-{figure.name.removesuffix(f'-{task}')}"
            yield from ((f"{stem}.{ending}", image) for ending, image in vector_images(figure).items())
        yield from ((f"{task}-{name}.tex", tabular(table).encode()) for name, table in tables(results, task))


def tables(results: Results, task: str) -> Iterator[tuple[str, Table]]:
    """Give a task's tables by name: those of the page."""
    for name, make in PARTS.items():
        if isinstance(table := make(results, task), Table):
            yield name, table
    if results.rows("differences.csv", task=task):
        yield "differences", result_tables.differences(results, task)


if __name__ == "__main__":
    with unchecked():
        raise SystemExit(main())
