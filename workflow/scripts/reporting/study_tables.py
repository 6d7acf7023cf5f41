"""Tables that say what was compared: strategies, patients, quarantined rows, chosen learning rates."""

from reporting import units
from reporting.cells import Table, cell, number, text
from reporting.files import Results, distinct

COHORT = {
    "patients": "patients", "records": "records", "events": "with outcome",
    "development_records": "development", "test_records": "test", "test_events": "test, with outcome",
    "auxiliary_records": "auxiliary", "quarantined": "quarantined",
}  # fmt: skip
READS = {"table": "one table row", "image": "one image"}


def strategies(results: Results, task: str) -> Table:
    """List what each label stands for."""
    columns = [
        "preset",
        "labels",
        "cut after",
        "rounds",
        "local epochs",
        "batch",
        "optimizer",
        "learning rates",
        "same as",
    ]
    table = Table("Strategies and their settings", columns, group="strategy")
    for row in results.rows("variants.csv", task=task):
        words = [row["preset"], row["labels"] or "\u2013", row["cut"].replace(" ", ", ") or "\u2013"]
        counts = [cell(row, name, units.count) for name in ("rounds", "local_epochs", "batch_size")]
        rest = [row["optimizer"], row["learning_rates"].replace(" ", ", "), row["identical_to"] or "\u2013"]
        table.rows.append((row["strategy"], [*map(text, words), *counts, *map(text, rest)]))
    return table


def cohort(results: Results, task: str) -> Table:
    """Describe each site's patients."""
    rows = results.rows("figures/cohort.csv", task=task)
    aged = any(row["age_mean"] for row in rows)
    table = Table(
        "Patients and records of each site", [*COHORT.values(), *(["mean age"] if aged else [])], group="site"
    )
    for row in rows:
        cells = [cell(row, column, units.count) for column in COHORT]
        table.rows.append((row["title"], [*cells, *([cell(row, "age_mean", units.plain)] if aged else [])]))
    warnings = results.rows("figures/warnings.csv", task=task)
    table.notes = [f"{row['site']}: {row['warning']}." for row in warnings]
    return table


def quarantine(results: Results, task: str) -> Table | None:
    """List what could not be used, and why."""
    rows = results.rows("figures/quarantine.csv", task=task)
    table = Table("Rows and files set aside, by reason", ["reason", "count"], group="site")
    table.rows = [(row["site"], [text(row["reason"]), cell(row, "count", units.count)]) for row in rows]
    return table if rows else None


def chosen(results: Results, task: str) -> Table:
    """List the learning rate and the round that validation loss chose."""
    rows = results.rows("figures/chosen.csv", task=task)
    columns = ["seed", "learning rate", "best round", "validation loss", "rates tried"]
    table = Table("What validation loss chose", columns, group="strategy")
    for row in rows:
        head = row["strategy"] if row["site"] == "all" else f"{row['strategy']}, {row['site']}"
        shown = {"seed": units.count, "learning_rate": units.plain, "round": units.count}
        cells = [cell(row, column, how) for column, how in shown.items()]
        cells += [cell(row, "validation_loss"), cell(row, "tried", units.count)]
        table.rows.append((head, cells))
    return table


def facts(results: Results, task: str) -> list[tuple[str, object]]:
    """Summarise a task in a few words."""
    config = results.provenance["config"]["tasks"][task]
    rows = results.rows("figures/cohort.csv", task=task)
    total = results.row("figures/summary.csv", task=task, site="all", metric="brier")
    return [
        ("source", f"{config['data']['source']}, {READS.get(rows[0]['reads'], rows[0]['reads'])} per record"),
        ("sites", ", ".join(distinct(rows, "site"))),
        ("model", config["model"]["name"]),
        ("test records", number(total, "n", units.count)),
        ("margin", f"\u00b1{config['margin']:g} AUROC, fixed before the run"),
    ]
