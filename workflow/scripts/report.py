"""Draws a study's tables into one self-contained page: ``report.py --results FOLDER --out FILE``."""

import argparse
import base64
import csv
import hashlib
import io
import json
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import jinja2
from markupsafe import Markup
from reporting import (
    attack_tables,
    charts,
    class_tables,
    cost_tables,
    frontier,
    gallery,
    patient_tables,
    privacy_sentences,
    reconstructed,
    result_tables,
    sentences,
    site_tables,
    study_tables,
    table1,
)
from reporting.charts import unchecked
from reporting.files import MissingFile, Results, distinct, read_results

TEMPLATES = Path(__file__).resolve().parent.parent / "report"
SCRIPT = (TEMPLATES / "sort.js").read_text(encoding="utf-8")

# what the template is given of a task, by name: sentences and tables
PARTS: Final[dict[str, Callable[[Results, str], Any]]] = {
    "reference": sentences.reference_sentence,
    "answers": sentences.answers,
    "cheaper": sentences.cheaper,
    "learned": sentences.learned,
    "facts": study_tables.facts,
    "strategies": study_tables.strategies,
    "cohort": patient_tables.cohort,
    "table1": table1.table1,
    "quarantine": patient_tables.quarantine,
    "outside": patient_tables.outside,
    "left_out": patient_tables.left_out,
    "metrics": result_tables.metrics,
    "classes": class_tables.classes,
    "by_site": site_tables.by_site,
    "each_site": site_tables.each_site,
    "per_site": site_tables.per_site,
    "subgroups": result_tables.subgroups,
    "power": result_tables.power,
    "secondary": result_tables.secondary,
    "chosen": study_tables.chosen,
    "costs": cost_tables.costs,
    "per_unit": cost_tables.per_unit,
    "on_paper": cost_tables.on_paper,
    "target": cost_tables.target,
    "sent": cost_tables.sent,
    "attacks": attack_tables.attacks,
    "interruptions": study_tables.interruptions,
    "privater": privacy_sentences.privater,
    "private": privacy_sentences.private,
    "frontier": frontier.frontier,
    "gallery": reconstructed.gallery,
}


def main(arguments: list[str] | None = None) -> int:
    """Read the results, write the page."""
    parser = argparse.ArgumentParser(description="draw a study's tables into one page")
    parser.add_argument("--results", type=Path, required=True, help="the study's results folder")
    parser.add_argument("--out", type=Path, required=True, help="the page to write")
    options = parser.parse_args(arguments)
    try:
        page = render(read_results(options.results))
    except MissingFile as error:
        print(f"report: {error}", file=sys.stderr)
        return 2
    partial = options.out.with_name(f".{options.out.name}.{os.getpid()}.partial")
    partial.write_text(page, encoding="utf-8")
    partial.rename(options.out)
    return 0


def render(results: Results) -> str:
    """Fill the page."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template("report.html.j2").render(
        results=results,
        provenance=results.provenance,
        config=results.provenance["config"],
        config_text=json.dumps(results.provenance["config"], indent=1, ensure_ascii=False),
        tasks=[_task(results, task) for task in distinct(results.tables["variants.csv"], "task")],
        surprises=sentences.surprises(results),
        dashes=charts.DASHES,
        marks=charts.MARKS,
        script=Markup(SCRIPT),  # noqa: S704 - the page's own
        script_hash=base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode(),
        download=partial(download, results),
    )


def download(results: Results, source: str, task: str) -> str:
    """Give a task's rows of a table as a data URI, as they stand in the file."""
    rows, text = results.rows(source, task=task), io.StringIO()
    writer = csv.DictWriter(text, list(rows[0].cells) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(row.cells for row in rows)
    return "data:text/csv;base64," + base64.b64encode(text.getvalue().encode()).decode()


def _task(results: Results, task: str) -> dict[str, Any]:
    strategies = distinct(results.rows("variants.csv", task=task), "strategy")
    twins, shown = gallery.twins_of(results, task), gallery.shown_of(results, task)
    return {
        "name": task,
        "title": sentences.task_title(results, task),
        "sites": list(enumerate(distinct(results.rows("figures/cohort.csv", task=task), "site"))),
        **{name: make(results, task) for name, make in PARTS.items()},
        "differences": result_tables.differences(results, task)
        if results.rows("differences.csv", task=task)
        else None,
        "every_seed": [
            result_tables.every_seed(results, task),
            result_tables.every_seed_by_site(results, task),
        ],
        "legend": [
            (i, s, [t for t in twins if twins[t] == s]) for i, s in enumerate(strategies) if s in shown
        ],
        # twins learn alike but do not move the same bytes
        "legend_of_all": [(i, strategy, []) for i, strategy in enumerate(strategies)],
        "figures": gallery.figures_of(results, task),
    }


if __name__ == "__main__":
    with unchecked():
        raise SystemExit(main())
