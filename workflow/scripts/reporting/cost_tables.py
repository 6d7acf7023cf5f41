"""Tables of what each party paid and what the coordinator received."""

from reporting import units
from reporting.cells import Table, cell, text
from reporting.files import Results, distinct

MEASURES = {
    "bytes_up": "sent", "bytes_down": "received", "flops": "operations", "seconds": "seconds",
    "cpu_seconds": "CPU seconds", "peak_memory": "peak memory", "parameters": "parameters held",
    "steps": "steps",
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
    """Bytes of each kind that reached the coordinator, or the pool, in the first seed's run."""
    rows = results.rows("privacy.csv", task=task, attack="sent")
    if not rows:
        return None
    seed = min(distinct(rows, "seed"), key=int)
    rows = [row for row in rows if row["seed"] == seed]
    kinds = distinct(rows, "target")
    table = Table(
        f"Bytes that left the sites, by kind, all sites together (seed {seed})", kinds, group="strategy"
    )
    found = {(row["strategy"], row["target"]): row for row in rows}
    known = distinct(results.rows("variants.csv", task=task), "strategy")
    for strategy in known:
        own = [found.get((strategy, kind)) for kind in kinds]
        cells = (
            [cell(row, "value", units.size) for row in own]
            if any(own)
            else [text("not counted", "none")] * len(kinds)
        )
        table.rows.append((strategy, cells))
    return table
