"""Draws a study's tables into one self-contained page: ``report.py --results FOLDER --out FILE``."""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

import jinja2
from reporting import (
    attack_tables,
    charts,
    cost_tables,
    curves,
    figures,
    patient_tables,
    result_tables,
    sentences,
    shift,
    study_tables,
    table1,
)
from reporting.files import MissingFile, Results, distinct, read_results

TEMPLATES = Path(__file__).resolve().parent.parent / "report"


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
    )


def _task(results: Results, task: str) -> dict[str, Any]:
    rows = results.rows("variants.csv", task=task)
    strategies = distinct(rows, "strategy")
    verdicts = results.rows("differences.csv", task=task, verdict="identical")
    twins = {row["strategy"]: row["reference"] for row in verdicts}
    # a twin's curve would lie under the other's
    shown = [strategy for strategy in strategies if strategy not in twins]
    return {
        "name": task,
        "title": sentences.task_title(results, task),
        "reference": sentences.reference_sentence(results, task),
        "answers": sentences.answers(results, task),
        "facts": study_tables.facts(results, task),
        "strategies": study_tables.strategies(results, task),
        "cohort": patient_tables.cohort(results, task),
        "table1": table1.table1(results, task),
        "sites": list(enumerate(distinct(results.rows("figures/cohort.csv", task=task), "site"))),
        "quarantine": patient_tables.quarantine(results, task),
        "outside": patient_tables.outside(results, task),
        "left_out": patient_tables.left_out(results, task),
        "chosen": study_tables.chosen(results, task),
        "metrics": result_tables.metrics(results, task),
        "by_site": result_tables.by_site(results, task),
        "every_seed": [
            result_tables.every_seed(results, task),
            result_tables.every_seed_by_site(results, task),
        ],
        "differences": result_tables.differences(results, task)
        if results.rows("differences.csv", task=task)
        else None,
        "costs": cost_tables.costs(results, task),
        "sent": cost_tables.sent(results, task),
        "attacks": attack_tables.attacks(results, task),
        "legend": [
            (i, s, [t for t in twins if twins[t] == s]) for i, s in enumerate(strategies) if s in shown
        ],
        # twins learn alike but do not move the same bytes
        "legend_of_all": [(i, strategy, []) for i, strategy in enumerate(strategies)],
        "figures": _figures(results, task, strategies, shown),
    }


def _figures(results: Results, task: str, strategies: list[str], shown: list[str]) -> dict[str, list[Any]]:
    drawn = {
        "shift": [shift.shift(results, task)],
        "results": [figures.overview(results, task, strategies)],
        "differences": [figures.differences(results, task, strategies)],
        "curves": [
            curves.roc(results, task, strategies, shown),
            curves.calibration(results, task, strategies, shown),
        ],
        "learning": [
            curves.learning(results, task, strategies, "round"),
            curves.learning(results, task, strategies, "bytes"),
        ],
    }
    return {name: [figure for figure in found if figure is not None] for name, found in drawn.items()}


if __name__ == "__main__":
    raise SystemExit(main())
