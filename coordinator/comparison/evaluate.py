"""``python -m coordinator evaluate``: compares a study's finished runs and writes its tables."""

import argparse
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

from coordinator import specs
from coordinator.comparison import (
    agreed,
    attacked,
    cohort,
    costs,
    curves,
    differences,
    estimates,
    federated,
    frontier,
    interruptions,
    per_site,
    power,
    private,
    several_classes,
    shift,
    subgroups,
    sweeps,
    table1,
    targets,
)  # fmt: skip
from coordinator.comparison.estimates import Rows
from coordinator.comparison.learning import learning_rows
from coordinator.comparison.predictions import TaskScores, read_task
from coordinator.comparison.provenance import provenance
from coordinator.comparison.resampling import resample_patients
from coordinator.comparison.tables import COLUMNS, write_json, write_tables
from coordinator.comparison.targets import Costs
from coordinator.comparison.variants import variant_rows
from coordinator.config import Study
from coordinator.specs import Evaluation


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--spec", type=Path, required=True, help="the evaluation's spec, written by the plan")
    parser.add_argument("--results", type=Path, required=True, help="the study's results folder")


def run(options: argparse.Namespace) -> int:
    """Compare all runs; says on stderr what a reader must not miss."""
    spec = specs.read(Evaluation, options.spec)
    tables = compare(spec, options.results)
    write_tables(options.results, tables)
    write_json(options.results / "provenance.json", provenance(spec, options.results))
    for line in _undefined(tables["figures/reasons.csv"]):
        print(line, file=sys.stderr)
    return 0


def compare(spec: Evaluation, results: Path) -> dict[str, Rows]:
    """Make every table of a study from its runs' files.

    Raises:
        ConfigError: a run, a file or a prepared folder is missing.
        DataError: a file is not as described.
    """
    tables: dict[str, Rows] = {name: [] for name in COLUMNS}
    paid, summaries = costs.read_costs(spec, results), cohort.read_summaries(spec)
    sent, found = costs.privacy_rows(spec, paid), attacked.attack_rows(spec, results)
    described, learned = table1.table1_rows(summaries), learning_rows(spec, results)
    _add(tables, {
        "costs.csv": costs.cost_rows(spec, paid),
        "figures/spent.csv": costs.spent_rows(costs.cost_rows(spec, paid)),
        "figures/sweeps.csv": sweeps.sweep_rows(spec, paid),
        "privacy.csv": [*sent, *found],
        "figures/attacks.csv": attacked.catalog_rows(),
        "figures/private.csv": private.private_rows(spec, [*private.plain(sent), *found]),
        "figures/gallery.csv": attacked.gallery_rows(spec, results),
        "variants.csv": variant_rows(spec),
        **cohort.cohort_rows(summaries),
        "figures/table1.csv": described,
        "figures/shift.csv": shift.shift_rows(summaries, described),
        **agreed.agreed_rows(spec, results),
        "figures/interruptions.csv": interruptions.interruption_rows(spec, results),
        **learned,
        "figures/target.csv": targets.target_rows(spec, paid, learned["figures/learning.csv"], results),
        "figures/units.csv": targets.unit_rows(spec, paid, results),
    })  # fmt: skip
    if spec.study.network is not None:
        _add(tables, {"figures/network.csv": _on_paper(spec, paid, results)})
    for task in spec.study.tasks:
        if any(run.task == task for run in spec.runs.values()):
            if spec.study.evaluation == "federated":
                _add(tables, federated.task_rows(spec, results, task))
            else:
                _add(tables, _task(spec, read_task(spec, results, task)))
    attacks = [*private.plain(sent), *found]
    beside = frontier.frontier_rows(spec, attacks, tables["differences.csv"], paid)
    return {**tables, "figures/frontier.csv": beside}


def _task(spec: Evaluation, scores: TaskScores) -> dict[str, Rows]:
    study, task = spec.study, scores.task
    weights = resample_patients(
        scores.site, scores.patient, scores.label, resamples=study.bootstrap, keyed=(study.split_seed, task),
        classes=max(2, len(scores.classes)),
    )  # fmt: skip
    seeds = {strategy: tuple(by_seed) for strategy, by_seed in scores.scores.items()}
    if scores.classes:
        found = several_classes.estimate(scores, weights)
    else:
        found = estimates.estimate(scores, weights, study.specificity)
    verdicts, effects, surprises = differences.difference_rows(
        scores, found, reference=study.reference, margin=study.tasks[task].margin, identical=spec.identical
    )
    of_two = {} if scores.classes else _of_two_classes(scores, study)
    return {
        **of_two,
        "comparison.csv": estimates.comparison_rows(task, seeds, found),
        "differences.csv": verdicts,
        "figures/summary.csv": estimates.summary_rows(task, found),
        "figures/classes.csv": several_classes.class_rows(scores, found, study.min_cell),
        "figures/effects.csv": effects,
        "figures/reasons.csv": [*estimates.reason_rows(task, seeds, found), *surprises],
        "figures/power.csv": power.power_rows(
            scores, found, reference=study.reference, margin=study.tasks[task].margin
        ),
        "figures/secondary.csv": power.secondary_rows(
            scores, found, reference=study.reference, twins=spec.identical
        ),
    }


def _of_two_classes(scores: TaskScores, study: Study) -> dict[str, Rows]:
    """Make the tables of what only one outcome and its absence have: one score, and one ranking."""
    pairs = differences.pairs_of(scores.task, list(scores.scores), study.reference, {})
    return {
        "figures/per_site.csv": per_site.per_site_rows(scores, pairs, study.min_cell),
        "figures/subgroups.csv": subgroups.subgroup_rows(scores, study.min_cell),
        "figures/roc.csv": curves.roc_rows(scores),
        "figures/precision_recall.csv": curves.precision_recall_rows(scores),
        "figures/decision.csv": curves.decision_rows(scores),
        "figures/calibration.csv": curves.calibration_rows(scores),
    }


def _on_paper(spec: Evaluation, paid: Costs, results: Path) -> Rows:
    # it builds the models, and so imports torch
    on_paper = import_module("coordinator.comparison.on_paper")
    rows: Rows = on_paper.network_rows(spec, paid, results, spec.study.network)
    return rows


def _undefined(reasons: Rows) -> list[str]:
    places: dict[tuple[str, str, str], list[str]] = {}
    for row in reasons:
        if row["reason"] == federated.NEEDS_SCORES:  # of every run alike, as the report says once
            continue
        places.setdefault((row["task"], row["site"], row["reason"]), []).append(
            f"{row['strategy']} {row['metric']}"
        )
    return [
        f"{task}, {site}: {', '.join(dict.fromkeys(names))}: {reason}"
        for (task, site, reason), names in places.items()
    ]


def _add(tables: dict[str, Rows], more: Mapping[str, Rows]) -> None:
    for name, rows in more.items():
        tables[name] = tables[name] + rows
