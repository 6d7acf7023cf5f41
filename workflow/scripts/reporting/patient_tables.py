"""Tables of who the patients are, what was set aside, and what the sites kept to themselves."""

from markupsafe import Markup

from reporting import units
from reporting.cells import Table, cell, number, text
from reporting.files import Results, Row, distinct

COHORT = {
    "patients": "patients", "records": "records", "events": "with outcome",
    "development_records": "development", "test_records": "test", "test_events": "test, with outcome",
    "auxiliary_records": "auxiliary", "quarantined": "quarantined",
}  # fmt: skip

OUTCOMES = ("events", "test_events")


def smallest(results: Results) -> int:
    """Give the smallest count of patients that leaves a site."""
    return int(results.provenance["config"]["min_cell"])


def cohort(results: Results, task: str) -> Table:
    """Count each site's patients and records, by role."""
    rows = results.rows("figures/cohort.csv", task=task)
    several = bool(results.classes(task))
    shown = {name: word for name, word in COHORT.items() if not (several and name in OUTCOMES)}
    table = Table("Patients and records of each site", list(shown.values()), group="site")
    for row in rows:
        table.rows.append((row["title"], [cell(row, column, units.count) for column in shown]))
    if several:
        table.notes.append("How many patients have each class stands in the next table.")
    elif any(not row["events"] or not row["test_events"] for row in rows):
        table.notes.append(
            f"\u2013 among the outcomes: not told, as fewer than {smallest(results)} patients of some role "
            "have the outcome, or do not have it."
        )
    warnings = results.rows("figures/warnings.csv", task=task)
    table.notes += [f"{row['site']}: {row['warning']}." for row in warnings]
    return table


def quarantine(results: Results, task: str) -> Table | None:
    """List what could not be used, and why."""
    rows = results.rows("figures/quarantine.csv", task=task)
    columns = ["reason", "count", "share of the site\u2019s rows and files"]
    table = Table("Rows and files set aside, by reason", columns, group="site")
    for row in rows:
        cells = [text(row["reason"]), cell(row, "count", units.count), cell(row, "share", units.part)]
        table.rows.append((row["site"], cells))
    return table if rows else None


def outside(results: Results, task: str) -> Table | None:
    """Count the values that cannot be, by variable and site."""
    rows = results.rows("figures/outside.csv", task=task)
    return _crossed(
        "Values outside a variable\u2019s limits, taken for missing", rows, "variable", "site", "count"
    )


def left_out(results: Results, task: str) -> Table | None:
    """Count what each site did not tell when normalisation was agreed on."""
    rows = results.rows("figures/suppressed.csv", task=task)
    table = _crossed(
        "Cells left out when the sites agreed on statistics", rows, "site", "seed", "cells", "seed "
    )
    if table is None:
        return None
    table.notes.append(
        f"A cell is a bin of a histogram, a word, or a variable, of fewer than {smallest(results)} training "
        "patients. Where none is left out, the agreement equals one on all training rows together."
    )
    lost = Markup("Seed {}: {} of {} values are in no histogram\u2019s bin, by which quartiles are off.")
    for row in results.rows("figures/uncounted.csv", task=task, kind="all"):
        counts = [number(row, column, units.count) for column in ("uncounted", "n")]
        table.notes.append(lost.format(row["seed"], *counts))
    return table


def _crossed(
    caption: str, rows: list[Row], head: str, across: str, value: str, before: str = ""
) -> Table | None:
    columns = distinct(rows, across)
    table = Table(caption, [before + column for column in columns], group=head)
    found = {(row[head], row[across]): row for row in rows}
    for name in distinct(rows, head):
        cells = [cell(found.get((name, column)), value, units.count) for column in columns]
        table.rows.append((name, cells))
    return table if rows else None
