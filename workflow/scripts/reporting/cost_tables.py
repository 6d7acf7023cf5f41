"""Tables of what each party paid and what the coordinator received."""

from markupsafe import Markup

from reporting import units
from reporting.cells import Table, cell, text
from reporting.files import Results, Row, distinct

MEASURES = {
    "bytes_up": "up", "bytes_down": "down", "wire_up": "up, on the wire", "wire_down": "down, on the wire",
    "flops": "operations", "seconds": "seconds", "waiting_seconds": "of these waiting",
    "cpu_seconds": "CPU seconds", "peak_memory": "peak memory", "parameters": "parameters held",
    "parameters_seen": "parameters ever had",
    "steps": "steps", "trials": "rates tried", "search_share": "bytes for other rates",
}  # fmt: skip

UNITS = {"bytes": "bytes moved", "flops_at_sites": "operations at the sites", "flops": "operations, all"}


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


def per_unit(results: Results, task: str) -> Table | None:
    """Bytes and operations per epoch and per record, so that studies compare."""
    rows = results.rows("figures/units.csv", task=task)
    columns = ["of", "whole run", "per epoch", "per record", "ratio"]
    table = Table("Cost per epoch and per training record shown: mean over seeds", columns, group="strategy")
    for row in rows:
        show = units.MEASURES[row["unit"]]
        values = [cell(row, column, show) for column in ("value", "per_epoch", "per_record")]
        table.rows.append(
            (row["strategy"], [text(UNITS[row["measure"]]), *values, cell(row, "ratio", units.ratio)])
        )
    table.notes = [f"Ratio: to {rows[0]['against']}."] if rows and rows[0]["against"] else []
    return table if rows else None


def on_paper(results: Results, task: str) -> Table | None:
    """How long each strategy would take over the network that the study describes."""
    rows = results.rows("figures/network.csv", task=task)
    table = Table(
        "Seconds until the last round: mean over seeds", ["here", "over the network"], group="strategy"
    )
    for row in rows:
        shown = [cell(row, column, units.duration) for column in ("here", "predicted")]
        table.rows.append((row["strategy"], shown))
    return _with_network(table, results) if rows else None


def _with_network(table: Table, results: Results) -> Table:
    network = results.provenance["config"]["network"]
    links = {"every site": network["every"], **network["sites"]}
    words = [
        f"{name}: {link['up_mbps']:g} Mbit/s up, {link['down_mbps']:g} down, "
        f"{link['latency_ms']:g} ms one way, speed {link['speed']:g}"
        for name, link in links.items()
    ]
    table.notes = [
        "Predicted from the schedule, the bytes of each message and the processor seconds measured here "
        f"(speed 1); commits to disk and TCP\u2019s slow start are left out. {'; '.join(words)}; the "
        f"coordinator\u2019s speed {network['coordinator_speed']:g}."
    ]
    return table


def target(results: Results, task: str) -> Table | None:
    """What each run took until it was as good as the reference up to the margin, and until its loss was."""
    rows = results.rows("figures/target.csv", task=task)
    area = {"target": units.score, "rounds": units.count, "bytes": units.size, "seconds": units.duration,
            "flops": units.operations}  # fmt: skip
    loss = {name: area[name] for name in ("target", "rounds", "bytes")}
    columns = ["seed", "target AUROC", "rounds", "bytes", "seconds", "operations"]
    columns += ["target loss", "rounds, by loss", "bytes, by loss"]
    table = Table("Cost until validation reached its target", columns, group="strategy")
    found = {(row["strategy"], row["seed"], row["measure"]): row for row in rows}
    for strategy, seed in dict.fromkeys((row["strategy"], row["seed"]) for row in rows):
        one, other = (found[strategy, seed, measure] for measure in ("auroc", "loss"))
        cells = [cell(one, "seed", units.count), *(cell(one, name, how) for name, how in area.items())]
        table.rows.append((strategy, [*cells, *(cell(other, name, how) for name, how in loss.items())]))
    table.notes = [_targets(results, task)]
    return table if rows else None


def _targets(results: Results, task: str) -> str:
    config = results.provenance["config"]
    if results.classes(task):
        return (
            "Of more than two classes no AUROC is told in validation, and the target is a loss alone: the "
            f"reference\u2019s least plus {config['target_loss']:g}. \u2013: not reached. Bytes are those of "
            "both directions, and of the records where they were pooled."
        )
    return (
        "The target is the validation AUROC of the round that the reference\u2019s validation chose, with "
        f"the same seed, less the margin of {config['tasks'][task]['margin']:g}; by loss: its least plus "
        f"{config['target_loss']:g}. Validation AUROC ranks records within their hospital, of sites with at "
        f"least {config['min_cell']} records of either kind. \u2013: not reached, or no site has so many. "
        "Bytes are those of both directions, and of the records where they were pooled; operations are the "
        "run\u2019s, spread evenly over its rounds."
    )


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
