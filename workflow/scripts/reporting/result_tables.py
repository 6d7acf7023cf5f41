"""Tables of how well each strategy predicts, and of the differences."""

from markupsafe import Markup

from reporting import units
from reporting.cells import Table, cell, number, text, with_interval
from reporting.class_tables import EXPLAINED, MEANS_OF_CLASSES, count_cell
from reporting.files import Results, Row, distinct
from reporting.patient_tables import smallest
from reporting.sentences import KINDS, undefined

GROUPS = {"sex": "sex", "age_band": "age"}
METRICS = {
    "auroc": "AUROC", "auprc": "AUPRC", "accuracy": "accuracy", "balanced_accuracy": "balanced accuracy",
    "f1": "F1", "brier": "Brier score", "ece": "calibration error",
    "calibration_intercept": "calibration intercept", "calibration_slope": "calibration slope",
    "sensitivity_at_specificity": "sensitivity",
}  # fmt: skip


OF_ALL = ("auroc", "accuracy", "brier")  # what is known over all sites where no score leaves
MEANS = (
    "AUROC: the mean of the sites\u2019, weighted by positive \u00d7 negative records, with DeLong\u2019s "
    "interval on the log odds scale. Accuracy, at a score of 0.5, and the Brier score, where lower is "
    "better: means over records, without an interval."
)


def shown_of_all(results: Results, task: str) -> dict[str, str]:
    """Name the metrics that all sites together have, and say what each is called."""
    if results.classes(task):
        return MEANS_OF_CLASSES
    return {name: word for name, word in METRICS.items() if name in OF_ALL or not results.federated}


def metrics(results: Results, task: str) -> Table:
    """All metrics over all sites together, means over seeds."""
    rows = results.rows("figures/summary.csv", task=task, site="all")
    caption = "All sites together: mean over seeds and 95 % interval over patients"
    names = shown_of_all(results, task)
    table = Table(caption, list(names.values()), group="strategy")
    area = results.rows("figures/summary.csv", task=task, site=results.whole, metric="auroc")
    found = {(row["strategy"], row["metric"]): row for row in [*rows, *area]}
    for strategy in distinct(rows, "strategy"):
        own = [found.get((strategy, metric)) for metric in names]
        table.rows.append((strategy, [metric_cell(row, reason(results, row)) for row in own]))
    table.notes = [
        MEANS if results.federated else explained(results, task),
        *[note for note in undefined(results, task) if note.startswith("\u2013 at all:")],
    ]
    if several := _of_several_models(results, task):
        pool = "are means over" if results.federated else "pool the scores of"
        table.notes.append(f"For {', '.join(several)} these numbers {pool} different models.")
    return table


def explained(results: Results, task: str) -> str:
    """Say what the metrics are and where they are taken."""
    if results.classes(task):
        return EXPLAINED
    return (
        "Higher is better, except for Brier score and calibration error. Accuracy, balanced accuracy and F1 "
        "are taken at a score of 0.5; the calibration error has 15 bins of equal width; the intercept is "
        "best at 0, the slope at 1. Sensitivity is taken at a specificity of "
        f"{results.provenance['config']['specificity']:g}. Intervals of AUROC are DeLong\u2019s, on the log "
        "odds scale; of the others the bootstrap\u2019s over patients."
    )


def _of_several_models(results: Results, task: str) -> list[str]:
    """Name the strategies under which each site has a model, or layers, of its own."""
    return [
        row["strategy"]
        for row in results.rows("variants.csv", task=task)
        if row["preset"] == "local"
        or row["site_parts"] == "private"
        or row["rule"] == "fedbn"
        or row["adapt"] != "0"
    ]


def subgroups(results: Results, task: str) -> Table | None:
    """AUROC by sex and age band, with the records and outcomes of each."""
    rows = results.rows("figures/subgroups.csv", task=task)
    strategies, few = distinct(rows, "strategy"), smallest(results)
    table = Table(
        "AUROC by sex and age band, all sites together: mean over seeds and 95 % interval over patients",
        ["n", "with outcome", *strategies], group="subgroup",
    )  # fmt: skip
    found = {(row["variable"], row["group"], row["strategy"]): row for row in rows}
    for variable, group in dict.fromkeys((row["variable"], row["group"]) for row in rows):
        own = [found[variable, group, strategy] for strategy in strategies]
        counts = [count_cell(own[0], column, few) for column in ("n", "events")]
        values = [with_interval(row, title=row["reason"]) for row in own]
        table.rows.append((f"{GROUPS[variable]} {group}", [*counts, *values]))
    table.notes = [
        f"<{few}: of fewer than {few} patients, or as many lack the outcome. \u2013: not told, or it would "
        "give such a count away, or undefined (only one class). Subgroups are small; their differences "
        "from each other were not tested."
    ]
    return table if rows else None


def every_seed(results: Results, task: str) -> Table:
    """All metrics of every run, all sites together."""
    rows = results.rows("comparison.csv", task=task, site="all")
    area = results.rows("comparison.csv", task=task, site=results.whole, metric="auroc")
    found = {(row["strategy"], row["seed"], row["metric"]): row for row in [*rows, *area]}
    names = shown_of_all(results, task)
    table = Table("Every run, all sites together", ["seed", *names.values()], group="strategy")
    for strategy, seed in dict.fromkeys((row["strategy"], row["seed"]) for row in rows):
        cells = [metric_cell(found.get((strategy, seed, metric))) for metric in names]
        table.rows.append((strategy, [text(seed, "seed"), *cells]))
    return table


def every_seed_by_site(results: Results, task: str) -> Table:
    """AUROC of every run at every place."""
    rows = results.rows("comparison.csv", task=task, metric="auroc")
    found = {(row["site"], row["strategy"], row["seed"]): row for row in rows}
    runs = list(dict.fromkeys((row["strategy"], row["seed"]) for row in rows))
    table = Table(
        "AUROC of every run by site", [f"{strategy}, {seed}" for strategy, seed in runs], group="site"
    )
    for site in distinct(rows, "site"):
        table.rows.append((site, [with_interval(found.get((site, *run))) for run in runs]))
    return table


def differences(results: Results, task: str) -> Table:
    """Differences from the reference with their verdicts."""
    effects = {
        pair(row): row for row in results.rows("figures/effects.csv", task=task, metric=results.primary)
    }
    secondary = {
        pair(row): row for row in results.rows("figures/effects.csv", task=task, metric="auroc_stratified")
    }
    columns = ["difference, 90 % interval", "95 % interval", "verdict"]
    columns += [] if results.federated else ["stratified difference, 90 % interval"]
    caption = f"Differences in {results.area(task)}, mean over seeds on the same patients"
    table = Table(caption, columns, group="pair")
    for row in results.rows("differences.csv", task=task):
        table.rows.append((
            f"{row['strategy']} \u2212 {row['reference']}",
            [
                with_interval(row, "difference", units.signed),
                _range(effects.get(pair(row)), "95"),
                Markup('<td class="verdict {0}">{1}</td>').format(row["verdict"], KINDS[row["verdict"]]),
                *([] if results.federated else [stratified_cell(secondary.get(pair(row)))]),
            ],
        ))  # fmt: skip
    return table


def power(results: Results, task: str) -> Table | None:
    """Say what this test set could have seen."""
    rows = results.rows("figures/power.csv", task=task)
    columns = ["planned", "as found", "chance of \u201cequivalent\u201d if equal"]
    caption = f"The smallest difference in {results.area(task)} that this test set could have seen"
    table = Table(caption, columns, group="pair")
    for row in rows:
        cells = [cell(row, "planned"), cell(row, "detectable"), cell(row, "chance", units.percent)]
        table.rows.append((f"{row['strategy']} \u2212 {row['reference']}", cells))
    table.notes = [
        "With 80 % power, at 5 % two-sided. Planned: from the reference\u2019s AUROC, the test records and "
        "their outcomes, with scores correlated at 0.9 (Hanley and McNeil 1982). As found: from the "
        "interval of this comparison, which holds the choice of seeds too and is wide where these are few."
        + (" Of more than two classes nothing was planned." if results.classes(task) else "")
    ]
    return table if rows else None


def secondary(results: Results, task: str) -> Table | None:
    """Differences of the other metrics, corrected for their number."""
    rows = results.rows("figures/secondary.csv", task=task)
    columns = ["metric", "difference, 95 % interval", "p", "p, Holm"]
    table = Table("Differences of the other metrics", columns, group="pair")
    for row in rows:
        shown = with_interval(row, "difference", units.signed)
        ps = [cell(row, column, units.probability) for column in ("p", "p_holm")]
        cells = [text(_called(results, row)), shown, *ps]
        table.rows.append((f"{row['strategy']} \u2212 {row['reference']}", cells))
    table.notes = ["p after Holm (1979) over all rows of this table."]
    return table if rows else None


def _called(results: Results, row: Row) -> str:
    """Say what a metric is called; one of a class is that of its AUROC."""
    metric = row["metric"]
    if results.classes(row["task"]):
        own = metric.removeprefix("auroc_")
        return f"AUROC of {own}" if own != metric else MEANS_OF_CLASSES[metric]
    return METRICS[metric]


def metric_cell(row: Row | None, why: str = "") -> Markup:
    """Put a metric and its interval in a cell; ``why`` says why there is none."""
    signed = row is not None and row["metric"] == "calibration_intercept"
    return with_interval(row, shown=units.signed if signed else units.score, title=why)


def stratified_cell(row: Row | None) -> Markup:
    """Put a difference and its 90 % interval in a cell."""
    if row is None or not row["difference"]:
        return text("\u2013", "none")
    found = number(row, "difference", units.signed)
    if not row["low_90"]:
        return Markup("<td>{}</td>").format(found)
    ends = [number(row, end, units.signed) for end in ("low_90", "high_90")]
    return Markup('<td>{} <span class="ci">{} to {}</span></td>').format(found, *ends)


def _range(row: Row | None, level: str) -> Markup:
    if row is None or not row[f"low_{level}"]:
        return text("\u2013", "none")
    return Markup("<td>{} to {}</td>").format(
        *(number(row, f"{end}_{level}", units.signed) for end in ("low", "high"))
    )


def pair(row: Row) -> tuple[str, str]:
    """Name the two strategies that a row compares."""
    return row["strategy"], row["reference"]


def reason(results: Results, row: Row | None) -> str:
    """Say why a row has no value."""
    if row is None:
        return ""
    why = results.row(
        "figures/reasons.csv",
        task=row["task"],
        strategy=row["strategy"],
        site=row["site"],
        metric=row["metric"],
    )
    return why["reason"] if why else ""
