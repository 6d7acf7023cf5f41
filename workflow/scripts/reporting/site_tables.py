"""Tables of single sites, and of what their estimates alone say of all."""

from reporting import units
from reporting.cells import Table, cell, with_interval
from reporting.files import Results, Row, distinct
from reporting.patient_tables import smallest
from reporting.result_tables import METRICS, explained, metric_cell, pair, reason, stratified_cell
from reporting.sentences import undefined


def by_site(results: Results, task: str) -> Table:
    """AUROC at each site, pooled and stratified."""
    rows = results.rows("figures/summary.csv", task=task, metric="auroc")
    strategies = distinct(rows, "strategy")
    table = Table(
        "AUROC by site: mean over seeds and 95 % interval over patients", ["n", *strategies], group="site"
    )
    found = {(row["site"], row["strategy"]): row for row in rows}
    names = distinct(rows, "site")
    for site in [
        *[n for n in ("all", "stratified") if n in names],
        *[n for n in names if n not in ("all", "stratified")],
    ]:
        own = [found.get((site, strategy)) for strategy in strategies]
        cells = [
            cell(own[0], "n", units.count),
            *(with_interval(row, title=reason(results, row)) for row in own),
        ]
        table.rows.append((site, cells))
    table.notes = [
        f"all: {_ranked(results)} ranked against every other, also across hospitals{_bound(results, task)}. "
        "stratified: the mean of the sites\u2019 AUROCs, weighted by positive \u00d7 negative records"
        f"{_by_class(results, task)}. An interval from few records is rough, and a perfect ranking has none: "
        "it shows no error to estimate one from.",
        *[note for note in undefined(results, task) if not note.startswith("\u2013 at all:")],
    ]
    return table


def _ranked(results: Results) -> str:
    return f"every test record{' of the sites that tell' if results.federated else ''}"


def _bound(results: Results, task: str) -> str:
    rows = results.rows("figures/per_site.csv", task=task) if results.federated else []
    bounds = [float(row["bound"]) for row in rows if row["bound"]]
    return f", from binned scores and off by at most {max(bounds):.3f}" if bounds else ""


def _by_class(results: Results, task: str) -> str:
    if not results.classes(task):
        return ""
    return (
        ", of each class against the others, and then the mean over classes; a site whose resamples often "
        "lose a class has no interval"
    )


def each_site(results: Results, task: str) -> Table | None:
    """All metrics at each site, where they are not known over all together."""
    if not results.federated:
        return None
    rows = [
        row for row in results.rows("figures/summary.csv", task=task)
        if row["site"] not in ("all", "stratified")
    ]  # fmt: skip
    caption = "Each site by itself: mean over seeds and 95 % interval over its patients"
    table = Table(caption, list(METRICS.values()), group="site")
    found = {(row["strategy"], row["site"], row["metric"]): row for row in rows}
    for strategy in distinct(rows, "strategy"):
        table.rows.append((strategy, None))
        for site in distinct(rows, "site"):
            own = [found[strategy, site, metric] for metric in METRICS]
            table.rows.append((site, [metric_cell(row, reason(results, row)) for row in own]))
    table.notes = [explained(results, task)]
    return table


def per_site(results: Results, task: str) -> Table | None:
    """Say what per-site estimates alone, without a score, would have shown, or the pooled AUROC that did."""
    rows = results.rows("figures/per_site.csv", task=task)
    effects = {
        pair(row): row for row in results.rows("figures/effects.csv", task=task, metric="auroc_stratified")
    }
    columns = [
        "from scores, 90 % interval", "from estimates, 90 % interval", "AUROC from scores", "from bins",
        "off by at most",
    ]  # fmt: skip
    if results.federated:
        return _pooled(results, rows)
    table = Table("Stratified difference and pooled AUROC, had no score left", columns, group="pair")
    for row in rows:
        areas = [cell(row, column) for column in ("pooled", "binned", "bound")]
        cells = [stratified_cell(effects.get(pair(row))), stratified_cell(row), *areas]
        table.rows.append((f"{row['strategy']} \u2212 {row['reference']}", cells))
    if rows:
        table.notes = [
            f"{_estimates(results, rows)} The pooled AUROC is the first strategy\u2019s, over the sites that "
            "would tell. This study released scores; the table shows how near estimates come "
            "(evaluation: federated)."
        ]
    return table if rows else None


def _pooled(results: Results, rows: list[Row]) -> Table | None:
    table = Table("AUROC over all sites\u2019 records, from binned scores", ["AUROC", "off by at most"],
                  group="strategy")  # fmt: skip
    for row in rows:
        table.rows.append((row["strategy"], [cell(row, "binned"), cell(row, "bound")]))
    ranks = "It ranks patients of different hospitals too, over the sites that tell."
    table.notes = [f"{_estimates(results, rows)} {ranks}"] if rows else []
    return table if rows else None


def _estimates(results: Results, rows: list[Row]) -> str:
    return (
        "Estimates: each site\u2019s AUROCs, their covariances (DeLong 1988, Obuchowski 1997) and how many "
        f"of its scores, by outcome, lie in groups of neighbouring bins (of {rows[0]['bins']}) that hold at "
        f"least {smallest(results)} patients."
    )
