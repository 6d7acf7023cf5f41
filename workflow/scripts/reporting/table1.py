"""Table 1: the variables over each site's patients, and how far apart the sites are."""

from collections.abc import Iterable

from markupsafe import Markup

from reporting import units
from reporting.cells import NONE, Table, cell, number, text
from reporting.files import Results, Row, distinct
from reporting.patient_tables import smallest

VARIABLES, LEVELS, SITES = 25, 8, 10  # at most so many are shown
ALWAYS = ("age", "sex", "gender")
Key = tuple[str, str]  # variable and kind


def table1(results: Results, task: str) -> Table | None:
    """Describe the patients: mean (standard deviation) of numbers, count and share of words."""
    rows = results.rows("figures/table1.csv", task=task)
    sites = _sites(results, task)
    if not rows:
        return None
    shown, every = _chosen(results, task, rows), list(dict.fromkeys(_key(row) for row in rows))
    heads = [_head(site) for site in sites]
    table = Table("Table 1: the patients of each site", [*heads, "largest difference"], group="variable")
    for key in shown:
        own = [row for row in rows if _key(row) == key]
        shifts = [row for row in results.rows("figures/shift.csv", task=task) if _key(row) == key]
        _add(table, own, shifts, [site["site"] for site in sites], smallest(results))
    table.notes = _notes(results, task, len(every) - len(shown), len(sites))
    return table


def largest(rows: Iterable[Row]) -> Row | None:
    """Give the row of the largest difference, whichever its sign."""
    return max(
        (row for row in rows if row["difference"]),
        key=lambda row: abs(float(row["difference"])),
        default=None,
    )


def _add(table: Table, rows: list[Row], shifts: list[Row], sites: list[str], smallest: int) -> None:
    name, kind = _key(rows[0])
    found = {(row["level"], row["site"]): row for row in rows}
    measure = "missing" if kind == "categorical" else "mean"
    show = _lacking if kind == "categorical" else _mean
    cells = [show(found.get(("", site)), smallest) for site in sites]
    head = f"{name}, series" if kind == "series" else name
    table.rows.append((head, [*cells, _shift([row for row in shifts if row["measure"] == measure], kind)]))
    for level in _levels(rows):
        cells = [_count(found.get((level, site)), smallest) for site in sites]
        head = Markup('<span class="level">{}</span>').format(level)
        table.rows.append((head, [*cells, _shift([row for row in shifts if row["level"] == level])]))


def _sites(results: Results, task: str) -> list[Row]:
    rows = results.rows("figures/cohort.csv", task=task)
    most = sorted(rows, key=lambda row: -int(row["patients"]))[:SITES]
    return [row for row in rows if row in most]


def _chosen(results: Results, task: str, rows: list[Row]) -> list[Key]:
    """Choose the variables: all in the sites' order, or age, sex and those that differ most between sites."""
    every = list(dict.fromkeys(_key(row) for row in rows))
    if len(every) <= VARIABLES:
        return every
    sizes = dict.fromkeys(every, -1.0)
    for row in results.rows("figures/shift.csv", task=task):
        if row["difference"] and _key(row) in sizes:
            sizes[_key(row)] = max(sizes[_key(row)], abs(float(row["difference"])))
    most = sorted(every, key=lambda key: (key[0].lower() not in ALWAYS, -sizes[key]))[:VARIABLES]
    return [key for key in every if key in most]


def _levels(rows: list[Row]) -> list[str]:
    counts = dict.fromkeys(distinct([row for row in rows if row["level"]], "level"), 0)
    for row in rows:
        if row["level"]:
            counts[row["level"]] += int(row["n"] or 0)
    most = sorted(counts, key=lambda level: -counts[level])[:LEVELS]
    return [level for level in counts if level in most]


def _head(site: Row) -> Markup:
    parts = Markup("n\u00a0=\u00a0{}").format(number(site, "patients", units.count))
    if site["event_share"]:
        parts += Markup("<br>outcome {}").format(number(site, "event_share", units.percent))
    return Markup('{}<span class="ci">{}</span>').format(site["title"], parts)


def _mean(row: Row | None, smallest: int) -> Markup:
    if row is None:
        return text(NONE, "none")
    if not row["mean"]:
        guarded = row["hidden"] == "guarded"
        return _few(smallest) if guarded else text(NONE, "none")
    numbers = Markup("{} ({})").format(number(row, "mean", units.plain), number(row, "std", units.plain))
    return Markup("<td>{}{}</td>").format(numbers, _missing(row, smallest))


def _lacking(row: Row | None, smallest: int) -> Markup:
    return Markup("<td>{}</td>").format(_missing(row, smallest) if row is not None else "")


def _missing(row: Row, smallest: int) -> Markup:
    if row["hidden"] == "few":
        return Markup(' <span class="ci">&lt;{} missing</span>').format(smallest)
    if row["missing"] in ("", "0"):
        return Markup("")
    return Markup(' <span class="ci">{} missing</span>').format(number(row, "share", units.percent))


def _count(row: Row | None, smallest: int) -> Markup:
    if row is None:
        return text(NONE, "none")
    if row["hidden"] == "few":
        return _few(smallest)
    if row["n"] == "":
        return text(NONE, "none")
    share = (
        Markup(' <span class="of">{}</span>').format(number(row, "share", units.percent))
        if row["share"]
        else ""
    )
    return Markup("<td>{}{}</td>").format(number(row, "n", units.count), share)


def _few(smallest: int) -> Markup:
    return Markup('<td class="few">&lt;{}</td>').format(smallest)


def _shift(rows: list[Row], kind: str = "") -> Markup:
    row = largest(rows)
    # that of who lacks a word is shown only where somebody does
    if row is None or (kind == "categorical" and not float(row["difference"])):
        return text("" if kind == "categorical" else NONE, "none")
    return cell(row, "difference", units.shift)


def _notes(results: Results, task: str, more: int, sites: int) -> list[str]:
    few, every = smallest(results), len(results.rows("figures/cohort.csv", task=task))
    notes = [
        "Numbers: mean (standard deviation) over patients, of a series over each patient\u2019s mean; words: "
        "count and share of the patients with any. Largest difference: of the sites\u2019 standardised "
        "differences, each site against all others together, the largest; beside the name of a variable of "
        "words it is that of who lacks it.",
        f"<{few}: of fewer than {few} patients, or of none. \u2013: not told, or it would give such a count "
        "away.",
    ]
    if more:
        notes.append(f"{more} more variables, which differ less, are in figures/table1.csv.")
    if every > sites:
        notes.append(f"The {sites} largest of {every} sites; all are in figures/table1.csv.")
    return notes


def _key(row: Row) -> Key:
    return row["variable"], row["kind"]
