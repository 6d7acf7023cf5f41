"""Whether split learning is more private than federated learning, in words with numbers."""

from collections.abc import Callable
from typing import Final

from markupsafe import Markup

from reporting import units
from reporting.cells import Table, number, text
from reporting.files import Results, Row, distinct

ASSETS: Final = {
    "tables": "tables", "series": "series", "images": "images", "sex": "patients’ sex",
    "age": "whether patients are 65 or older", "labels": "labels",
    "membership": "who was trained on",
}  # fmt: skip
VERDICTS: Final = {
    "more": "leaks more",
    "found_more": "leaks more than was found of the other",
    "less": "leaks less",
    "unshown": "not shown",
}


def privater(results: Results, task: str) -> list[tuple[str, Markup]]:
    """Answer for each split strategy: (class of the verdict, sentence)."""
    rows = results.rows("figures/private.csv", task=task)
    return [_answer([row for row in rows if row["strategy"] == name]) for name in distinct(rows, "strategy")]


def _answer(rows: list[Row]) -> tuple[str, Markup]:
    more = [row for row in rows if row["verdict"] in ("more", "found_more")]
    less = [row for row in rows if row["verdict"] == "less"]
    one, other = rows[0]["strategy"], rows[0]["reference"]
    if more:
        said = Markup("<b>{}</b> is <b>not more private</b> than {} by what was found. It leaks more: {}.")
        sentence = said.format(one, other, _listed(more))
        if any(row["verdict"] == "found_more" for row in more):
            sentence += Markup(" No validated attack was tried on {}, which may leak more.").format(other)
    elif less:
        said = Markup("<b>{}</b> leaks <b>less</b> than {}: {}; and more of nothing that was tried.")
        sentence = said.format(one, other, _listed(less))
    else:
        said = Markup(
            "That <b>{}</b> is more private than {} is <b>not shown</b>: no attack tells them apart."
        )
        sentence = said.format(one, other)
    if more and less:
        sentence += Markup(" It leaks less: {}.").format(_listed(less))
    return ("worse" if more else "better" if less else "inconclusive"), sentence


def _listed(rows: list[Row]) -> Markup:
    """Name each asset once, with the clearest finding."""
    first: dict[str, Row] = {}
    for row in rows:
        first.setdefault(row["asset"], row)
    return Markup("; ").join(_finding(row) for row in first.values())


def _finding(row: Row) -> Markup:
    return Markup("{} ({}: {}; against {})").format(
        ASSETS[row["asset"]],
        row["threat_model"].replace("_", " "),
        _found(row, ""),
        _found(row, "reference_"),
    )


def _found(row: Row, side: str) -> Markup:
    shown = unit_of(row)
    value, low, high, guess = (
        number(row, side + name, shown) for name in ("value", "low", "high", "baseline")
    )
    interval = Markup("")
    if row[f"{side}low"] != row[f"{side}high"]:  # else the attack gave none
        interval = Markup(", 95\u00a0% interval {} to {}").format(low, high)
    return Markup("{}{}, trivial guess {}").format(value, interval, guess)


def unit_of(row: Row) -> Callable[[str], str]:
    """Say how a measure is shown: dB, per cent of features, or an area."""
    if row["measure"] == "psnr":
        return lambda value: f"{float(value):.1f}\u00a0dB"
    return units.percent if row["asset"] in ("tables", "series") else units.score


def private(results: Results, task: str) -> Table | None:
    """Lay the comparison out, strategy by strategy."""
    rows = results.rows("figures/private.csv", task=task)
    if not rows:
        return None
    reference = rows[0]["reference"]
    columns = [
        "attacker", f"against {reference}", "found", "trivial guess", f"found of {reference}",
        "trivial guess", "strongest attack", f"strongest on {reference}",
    ]  # fmt: skip
    table = Table(f"Is split more private than {reference}?", columns, group="what is learned")
    for strategy in distinct(rows, "strategy"):
        table.rows.append((strategy, None))
        table.rows += [(ASSETS[row["asset"]], _cells(row)) for row in rows if row["strategy"] == strategy]
    table.notes = [
        "Found: what the strongest attack made of it, less what a trivial guess makes, decides. “Leaks less” "
        "is said only where an attack that reached its reference was tried on the strategy; “not shown” does "
        "not mean that a strategy is safe. An attacker who may do more is granted what weaker ones found."
    ]
    return table


def _cells(row: Row) -> list[Markup]:
    shown = unit_of(row)
    return [
        text(row["threat_model"].replace("_", " ")),
        text(VERDICTS[row["verdict"]]),
        *_side(row, "", shown),
        *_side(row, "reference_", shown),
        _attack(row, ""),
        _attack(row, "reference_"),
    ]


def _side(row: Row, prefix: str, shown: Callable[[str], str]) -> list[Markup]:
    value, low, high = (number(row, f"{prefix}{name}", shown) for name in ("value", "low", "high"))
    return [
        Markup('<td>{} <span class="ci">{} to {}</span></td>').format(value, low, high),
        Markup("<td>{}</td>").format(number(row, f"{prefix}baseline", shown)),
    ]


def _attack(row: Row, prefix: str) -> Markup:
    tried = "" if row[f"{prefix}validated"] == "True" else " (not validated)"
    return text(row[f"{prefix}attack"] + tried)
