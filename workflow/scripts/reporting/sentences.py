"""The answer in words, read from the verdicts; says what is noise."""

from typing import Final

from markupsafe import Markup

from reporting import units
from reporting.cells import number
from reporting.files import Results, Row, distinct

KINDS: Final = {
    "equivalent": "equivalent",
    "worse": "worse",
    "better": "better",
    "inconclusive": "within noise",
    "identical": "identical",
}
# measures of attacks that lie between 0 and 1, more being worse for patients
SHARES: Final = {"auroc": "AUROC", "accuracy": "accuracy", "within_tolerance": "share within tolerance",
                 "ssim": "SSIM"}  # fmt: skip


def task_title(results: Results, task: str) -> str:
    """Give a task's title, or its name."""
    return str(results.provenance["config"]["tasks"][task]["title"] or task)


def answers(results: Results, task: str) -> list[tuple[str, Markup]]:
    """Say for each strategy what the comparison shows: (verdict, sentence)."""
    rows = results.rows("differences.csv", task=task)
    twins = {row["strategy"]: row["reference"] for row in rows if row["verdict"] == "identical"}
    return [
        (row["verdict"], sentence(row))
        for row in rows
        # a twin's difference from the reference is its twin's: one result, said once
        if row["verdict"] == "identical" or row["strategy"] not in twins
    ]


def sentence(row: Row) -> Markup:
    """Say one verdict in a sentence."""
    one, other = row["strategy"], row["reference"]
    if row["verdict"] == "identical":
        return Markup(
            "<b>{}</b> is <b>identical</b> to {} by construction, bit for bit: one result, not two."
        ).format(one, other)
    if not row["difference"]:
        return Markup("<b>{}</b> against {}: <b>no verdict</b>, because an AUROC is undefined.").format(
            one, other
        )
    numbers = Markup("{} (90\u00a0% interval {} to {})").format(
        *(number(row, column, units.signed) for column in ("difference", "ci_low", "ci_high"))
    )
    margin = Markup("\u00b1{}").format(number(row, "margin", units.plain))
    return {
        "equivalent": Markup(
            "<b>{}</b> is <b>equivalent</b> to {}: AUROC differs by {}, inside the margin of {}."
        ),
        "worse": Markup("<b>{}</b> is <b>worse</b> than {}: AUROC differs by {}; the margin is {}."),
        "better": Markup("<b>{}</b> is <b>better</b> than {}: AUROC differs by {}; the margin is {}."),
        "inconclusive": Markup(
            "<b>{}</b> and {}: <b>differences within noise</b>. AUROC differs by {}, which at 95\u00a0% "
            "shows no difference, and does not rule out one larger than the margin of {}."
        ),
    }[row["verdict"]].format(one, other, numbers, margin)


def cheaper(results: Results, task: str) -> list[tuple[str, Markup]]:
    """Say for each strategy what its sites compute and move, against one that holds the whole model."""
    said = []
    for row in results.rows("figures/units.csv", task=task, measure="flops_at_sites"):
        name = row["strategy"]
        moved = results.row("figures/units.csv", task=task, strategy=name, measure="bytes")
        settings = results.row("variants.csv", task=task, strategy=name)
        pooled = settings is not None and settings["preset"] == "centralized"  # no site computes
        if name != row["against"] and not pooled and moved and row["ratio"] and moved["ratio"]:
            said.append((_judged(row, moved), _cheaper(row, moved)))
    return said


def _cheaper(row: Row, moved: Row) -> Markup:
    words = [
        {-1: "less", 0: "as much", 1: "more"}[_side(each)] for each in (row, moved)
    ]  # fmt: skip
    return Markup(
        "<b>{}</b>: sites compute <b>{}</b> ({} times the operations of {}: {}) and move <b>{}</b> "
        "({} times its bytes: {})."
    ).format(
        row["strategy"], words[0], number(row, "ratio", units.ratio), row["against"],
        number(row, "value", units.operations), words[1], number(moved, "ratio", units.ratio),
        number(moved, "value", units.size),
    )  # fmt: skip


def _judged(row: Row, moved: Row) -> str:
    sides = {_side(row), _side(moved)}
    if sides == {0}:
        return "same"
    return "inconclusive" if sides >= {-1, 1} else "better" if -1 in sides else "worse"


def _side(row: Row) -> int:
    ratio = float(row["ratio"])
    return -1 if ratio < 0.95 else 1 if ratio > 1.05 else 0


def learned(results: Results, task: str) -> list[tuple[str, Markup]]:
    """Say for each strategy what leaves as it is, and the most that an attack found of each kind."""
    rows = results.rows("privacy.csv", task=task)
    if all(row["attack"] == "sent" for row in rows):
        return []
    seed = min({row["seed"] for row in rows}, key=int)
    return [
        _learned(strategy, [row for row in rows if (row["strategy"], row["seed"]) == (strategy, seed)])
        for strategy in distinct(rows, "strategy")
    ]


def _learned(strategy: str, rows: list[Row]) -> tuple[str, Markup]:
    plain = [
        row["target"]
        for row in rows
        if row["attack"] == "sent" and row["target"] in ("records", "labels") and float(row["value"])
    ]
    found = [row for row in _strongest(rows) if float(row["value"]) > float(row["baseline"])]
    leaves = Markup("{} leave the sites as they are").format(" and ".join(sorted(plain, reverse=True)))
    words = [leaves] if plain else []
    words += [_found(row) for row in found]
    if not words:
        made = ", ".join(name.replace("_", " ") for name in distinct(rows, "attack") if name != "sent")
        words = [Markup("the attacks made ({}) found no more than a trivial guess").format(made)]
    clearly = plain or any(row["ci_low"] and float(row["ci_low"]) > float(row["baseline"]) for row in found)
    sentence = Markup("<b>{}</b>: {}.").format(strategy, Markup("; ").join(words))
    return "worse" if clearly else "unmeasured", sentence


def _strongest(rows: list[Row]) -> list[Row]:
    """Give, of what is learned (a target's first word), the row furthest above its trivial guess."""
    best: dict[str, Row] = {}
    for row in rows:
        if row["attack"] == "sent" or row["measure"] not in SHARES or not row["value"]:
            continue
        kept = best.setdefault(row["target"].split()[0], row)
        if _above(row) > _above(kept):
            best[row["target"].split()[0]] = row
    return list(best.values())


def _above(row: Row) -> float:
    return float(row["value"]) - float(row["baseline"])


def _found(row: Row) -> Markup:
    interval = Markup("")
    if row["ci_low"]:
        ends = [number(row, end) for end in ("ci_low", "ci_high")]
        interval = Markup(" (95\u00a0% interval {} to {})").format(*ends)
    return Markup("{} can be learned: {} {}{}, a trivial guess {} ({}, {})").format(
        row["target"], SHARES[row["measure"]], number(row, "value"), interval, number(row, "baseline"),
        row["attack"].replace("_", " "), row["threat_model"].replace("_", " "),
    )  # fmt: skip


def reference_sentence(results: Results, task: str) -> Markup:
    """Say how well the reference does, which the others are measured by."""
    reference = results.provenance["config"]["reference"]
    row = results.row(
        "figures/summary.csv", task=task, strategy=reference, site=results.whole, metric="auroc"
    )
    if row is None:
        return Markup("The reference {} was not run on this task.").format(reference)
    if not row["value"]:
        return Markup("The AUROC of the reference {} is undefined.").format(reference)
    seeds = int(row["seeds"])
    mean = ", the sites\u2019 mean" if results.federated else ""
    area = f"{'a' if results.classes(task) else 'an'} {results.area(task)}"
    return Markup("{} reaches {} of {}{} (95\u00a0% interval {} to {}) on {} test records{}.").format(
        reference, area, number(row, "value"), mean,
        *(number(row, column) for column in ("ci_low", "ci_high")),
        number(row, "n", units.count),
        f", mean over {seeds} seeds" if seeds > 1 else "; with one seed, variation from training is not seen",
    )  # fmt: skip


def surprises(results: Results) -> list[str]:
    """List pairs that should have been identical and were not."""
    return [
        f"{row['task']}: {row['strategy']} was {row['reason']}."
        for row in results.rows("figures/reasons.csv", metric="identical")
    ]


def undefined(results: Results, task: str) -> list[str]:
    """Say why some cells are empty, each reason once: over all sites together, and at single ones."""
    found: dict[tuple[str, str], list[str]] = {}
    for row in results.rows("figures/reasons.csv", task=task):
        if row["metric"] != "identical":
            names = found.setdefault((row["site"], row["reason"]), [])
            names += [] if row["metric"] in names else [row["metric"]]
    alike: dict[tuple[bool, str, str], list[str]] = {}
    for (site, reason), metrics in found.items():
        alike.setdefault((site == "all", ", ".join(metrics), reason), []).append(site)
    return [
        f"\u2013 at {', '.join(sites)}: {metrics.replace('_', ' ')}{_without(reason)}."
        for (_, metrics, reason), sites in alike.items()
    ]


def _without(reason: str) -> str:
    return f" {reason}" if reason.startswith(("not told", "needs")) else f" undefined: {reason}"
