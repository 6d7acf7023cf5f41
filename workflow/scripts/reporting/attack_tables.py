"""The table of what attacks found, beside a trivial guess."""

from markupsafe import Markup

from reporting import units
from reporting.cells import Table, cell, text, with_interval
from reporting.files import Results, Row, distinct

ELSEWHERE = "not validated on such targets"
TOO_FEW = "the attack gave no interval"


def attacks(results: Results, task: str) -> Table | None:
    """What each attack found in the first seed's runs, with who can make it and how far it is validated."""
    rows = [row for row in results.rows("privacy.csv", task=task) if row["attack"] != "sent"]
    if not rows:
        return None
    seed = min(distinct(rows, "seed"), key=int)
    columns = ["measure", "found", "trivial guess", "records", "attacker", "attack on its reference"]
    table = Table(f"What attacks found (seed {seed})", columns, group="attack: what is learned")
    catalog = {row["attack"]: row for row in results.tables["figures/attacks.csv"]}
    for strategy in distinct(rows, "strategy"):
        own = [row for row in rows if (row["strategy"], row["seed"]) == (strategy, seed)]
        table.rows.append((strategy, None))
        table.rows += [
            (f"{row['attack']}: {row['target']}", _cells(row, catalog[row["attack"]])) for row in own
        ]
    return table


def _cells(row: Row, attack: Row) -> list[Markup]:
    return [
        text(row["measure"]),
        with_interval(row, title=TOO_FEW),
        cell(row, "baseline"),
        cell(row, "n", units.count),
        text(row["threat_model"].replace("_", " ")),
        text(attack["validation"] if _is_of(row["target"], attack) else ELSEWHERE),
    ]


def _is_of(target: str, attack: Row) -> bool:
    """Say whether what the catalog says of an attack is said of such a target."""
    excluded = attack["but_for"] and attack["but_for"] in target
    return target.startswith(tuple(attack["holds_for"].split("|"))) and not excluded
