"""Tables that say what was compared: the task, its strategies, the chosen learning rates."""

from typing import Final

from reporting import units
from reporting.cells import Table, cell, number, text
from reporting.files import Results, Row, distinct

# what a reader may take for granted; other values are told
USUAL: Final = {
    "order": "fixed", "interleave": "cyclic", "batches": "shuffled", "participation": "1.0", "join": "",
    "leave": "", "site_weights": "records", "momentum": "0.0", "weight_decay": "0.0",
    "schedule": "constant", "warm_up": "0", "clip": "", "precision": "float32", "class_weights": "none",
    "memory_format": "contiguous",
    "epochs_by_site": "", "patience": "",
    "secure_aggregation": "False", "privacy": "",
}  # fmt: skip
READS = {"table": "a table row", "series": "a series", "image": "an image"}


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
        "further settings",
        "same as",
    ]
    table = Table("Strategies and their settings", columns, group="strategy")
    for row in results.rows("variants.csv", task=task):
        words = [row["preset"], row["labels"] or "\u2013", row["cut"].replace(" ", ", ") or "\u2013"]
        counts = [cell(row, name, units.count) for name in ("rounds", "local_epochs", "batch_size")]
        rates = row["learning_rates"].replace(" ", ", ")
        rest = [row["optimizer"], rates, _further(row), row["identical_to"] or "\u2013"]
        table.rows.append((row["strategy"], [*map(text, words), *counts, *map(text, rest)]))
    return table


def _further(row: Row) -> str:
    told = [
        f"{name.replace('_', ' ')} {row[name]}"
        for name, usual in USUAL.items()
        if row[name] not in ("", usual)
    ]
    return ", ".join(told) or "\u2013"


def chosen(results: Results, task: str) -> Table:
    """List the learning rate and the round that validation loss chose."""
    rows = results.rows("figures/chosen.csv", task=task)
    columns = ["seed", "learning rate", "best round, from 0", "validation loss", "rates tried"]
    table = Table("What validation loss chose", columns, group="strategy")
    for row in rows:
        head = row["strategy"] if row["site"] == "all" else f"{row['strategy']}, {row['site']}"
        shown = {"seed": units.count, "learning_rate": units.plain, "round": units.count}
        cells = [cell(row, column, how) for column, how in shown.items()]
        cells += [cell(row, "validation_loss"), cell(row, "tried", units.count)]
        table.rows.append((head, cells))
    return table


def interruptions(results: Results, task: str) -> Table | None:
    """List every time that a run of the task broke off and went on."""
    rows = results.rows("figures/interruptions.csv", task=task)
    columns = ["seed", "when (UTC)", "who had come back", "went on from commit"]
    table = Table("Runs that broke off and went on", columns, group="strategy")
    for row in rows:
        commit = text("the beginning") if row["commit"] == "-1" else cell(row, "commit", units.count)
        when, back = row["time"][:19].replace("T", " "), row["back"].replace(" ", ", ")
        table.rows.append((row["strategy"], [cell(row, "seed", units.count), text(when), text(back), commit]))
    return table if rows else None


def facts(results: Results, task: str) -> list[tuple[str, object]]:
    """Summarise a task in a few words."""
    config = results.provenance["config"]["tasks"][task]
    rows = results.rows("figures/cohort.csv", task=task)
    total = results.row("figures/summary.csv", task=task, site="all", metric="brier")
    return [
        ("source", f"{config['data']['source']}, {_reads(rows[0]['modalities'])} per record"),
        ("sites", ", ".join(distinct(rows, "site"))),
        *_outcome(results, task),
        ("model", config["model"]["name"]),
        ("test records", number(total, "n", units.count)),
        ("margin", f"\u00b1{config['margin']:g} AUROC, fixed before the run"),
    ]


def _outcome(results: Results, task: str) -> list[tuple[str, object]]:
    classes = results.classes(task)
    words = f"{len(classes)} classes: {', '.join(classes)}; AUROC is the mean of each against all others"
    return [("outcome", words)] if classes else []


def _reads(modalities: str) -> str:
    return " and ".join(READS.get(modality, modality) for modality in modalities.split())
