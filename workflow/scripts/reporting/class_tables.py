"""The table of an outcome's classes where there are more than two, and what its metrics are called."""

from markupsafe import Markup

from reporting import units
from reporting.cells import Table, cell, with_interval
from reporting.files import Results, Row, distinct
from reporting.patient_tables import smallest

MEANS_OF_CLASSES = {
    "auroc": "AUROC", "auprc": "AUPRC", "accuracy": "accuracy", "balanced_accuracy": "balanced accuracy",
    "f1": "F1", "brier": "Brier score", "log_loss": "log loss", "ece": "calibration error",
}  # fmt: skip
EXPLAINED = (
    "Higher is better, except for Brier score, log loss (nats) and calibration error. AUROC, AUPRC, "
    "balanced accuracy and F1 are means over classes, each of which counts alike; AUROC and AUPRC "
    "set a class against all others. The likeliest class is predicted; the calibration error is of "
    "its probability, in 15 bins of equal width; the Brier score is half the sum over classes. "
    "Intervals are the bootstrap\u2019s over patients."
)


def classes(results: Results, task: str) -> Table | None:
    """AUROC of each class against the rest, with the records of each, where there are more than two."""
    rows = results.rows("figures/classes.csv", task=task)
    strategies, few = distinct(rows, "strategy"), smallest(results)
    table = Table(
        "AUROC of each class against all others, all sites together: mean over seeds and 95 % interval",
        ["test records", *strategies], group="class",
    )  # fmt: skip
    found = {(row["class"], row["strategy"]): row for row in rows}
    for name in distinct(rows, "class"):
        own = [found[name, strategy] for strategy in strategies]
        values = [with_interval(row, title=row["reason"]) for row in own]
        table.rows.append((name, [count_cell(own[0], "records", few), *values]))
    table.notes = [
        f"<{few}: of fewer than {few} patients. \u2013: not told, as it would give such a count away, or "
        "undefined, as the class has no test record. Intervals are the bootstrap\u2019s over patients; those "
        "of a rare class are wide, and a perfect ranking has none."
    ]
    return table if rows else None


def count_cell(row: Row, column: str, few: int) -> Markup:
    """Put a count in a cell; where it is hidden, that it is of a few patients."""
    if row[column] == "" and row["hidden"] == "few":
        return Markup('<td class="few">&lt;{}</td>').format(few)
    return cell(row, column, units.count)
