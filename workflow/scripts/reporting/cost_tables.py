"""Tables of what each party paid and what the coordinator received."""

from markupsafe import Markup

from reporting import units
from reporting.cells import Table, cell, text
from reporting.files import Results, Row, distinct

MEASURES = {
    "bytes_up": "up", "bytes_down": "down", "flops": "operations", "seconds": "seconds",
    "cpu_seconds": "CPU seconds", "peak_memory": "peak memory", "parameters": "parameters held",
    "steps": "steps", "trials": "rates tried", "search_share": "share of bytes for rates not kept",
}  # fmt: skip


def costs(results: Results, task: str) -> Table:
    """What each party of each strategy paid, means over seeds."""
    rows = results.rows("figures/spent.csv", task=task)
    table = Table("Cost of each party: mean over seeds", list(MEASURES.values()), group="party")
    found = {(row["strategy"], row["party"], row["measure"]): row for row in rows}
    for strategy in distinct(rows, "strategy"):
        table.rows.append((strategy, None))
        for party in distinct([row for row in rows if row["strategy"] == strategy], "party"):
            own = [found.get((strategy, party, measure)) for measure in MEASURES]
            table.rows.append(
                (party, [cell(row, "value", units.MEASURES[row["unit"]] if row else str) for row in own])
            )
    return table


def sent(results: Results, task: str) -> Table | None:
    """What left the sites by kind, in the first seed's runs."""
    rows = results.rows("privacy.csv", task=task, attack="sent")
    if not rows:
        return None
    seed = min(distinct(rows, "seed"), key=int)
    rows = [row for row in rows if row["seed"] == seed]
    kinds = distinct(rows, "target")
    table = Table(f"What left the sites, all together (seed {seed})", kinds, group="strategy")
    found = {(row["strategy"], row["target"]): row for row in rows}
    for strategy in distinct(rows, "strategy"):
        own = [found.get((strategy, kind)) for kind in kinds]
        table.rows.append((strategy, [_sent(row) for row in own]))
    return table


def _sent(row: Row | None) -> Markup:
    if row is None:
        return text("not counted", "none")
    return cell(row, "value", units.percent if row["measure"] == "share" else units.size)
