"""A paper's tables: taken from a study's results into a few small files, and put from these into documents.

``take RESULTS OUT`` keeps what the documents quote of a study's tables; tasks taken before, and not in this
study, stay. ``take-privacy RESULTS OUT`` keeps what attacks found alone. ``put OUT FILE...`` writes each
table between its marks, <!-- table NAME --> and <!-- end -->.
"""

import argparse
import re
import sys
from pathlib import Path
from typing import Final

import pandas as pd
from forecast import durations, whole

AREA: Final = "auroc"
SHOWN: Final = ("all", "stratified")
COSTS: Final = ("flops", "bytes_up", "bytes_down", "cpu_seconds", "peak_memory")
WITHOUT: Final = "without_"  # a task of this name and a site's: that site took no part in training
NOT_SITES: Final = ("coordinator", "pooled")
MEGA: Final = 1e6
FOUND: Final = [
    "task", "strategy", "asset", "threat_model", "measure", "attack", "knowing", "validated", "value",
    "baseline", "beyond", "low", "high",
]  # fmt: skip
MARKS: Final = re.compile(r"(<!-- table (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def main(arguments: list[str] | None = None) -> int:
    """Take or put; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True)
    taking = actions.add_parser("take", help="keep what documents quote")
    taking.add_argument("results", type=Path, help="a study's results folder")
    attacked = actions.add_parser("take-privacy", help="keep what attacks found, and nothing else")
    attacked.add_argument("results", type=Path, help="a study's results folder")
    putting = actions.add_parser("put", help="write the tables into documents")
    for each in (taking, attacked, putting):
        each.add_argument("kept", type=Path, help="the folder of the small files")
    putting.add_argument("documents", type=Path, nargs="+", help="Markdown files with marks")
    options = parser.parse_args(arguments)
    if options.action == "take":
        for name, rows in taken(options.results).items():
            keep(options.kept / name, rows)
    elif options.action == "take-privacy":
        found = pd.read_csv(options.results / "figures/frontier.csv")
        keep(options.kept / "privacy.csv", found[FOUND].round(4))
    else:
        for document in options.documents:
            write(document, put(document.read_text(encoding="utf-8"), options.kept))
    return 0


def taken(results: Path) -> dict[str, pd.DataFrame]:
    """Give what is kept of a study's tables, by file name."""
    scores = pd.read_csv(results / "comparison.csv")
    shown = scores.site.isin(SHOWN) | (scores.site == scores.task.str.removeprefix(WITHOUT))
    scores = scores[(scores.metric == AREA) & shown]
    costs = pd.read_csv(results / "costs.csv")
    costs = costs[costs.measure.isin(COSTS) & ~costs.party.isin(NOT_SITES)]
    per_site = costs.groupby(["task", "strategy", "seed", "measure"], sort=False).value.mean().reset_index()
    took = durations(results / "benchmarks").round(1)
    return {
        "auroc.csv": scores[["task", "strategy", "seed", "site", "value", "n"]].round(6),
        "differences.csv": pd.read_csv(results / "differences.csv").round(6),
        "costs.csv": per_site.round(3),
        **({"durations.csv": took} if len(took) else {}),
    }


def keep(path: Path, rows: pd.DataFrame) -> None:
    """Write a table; of an earlier one what is of other tasks stays."""
    if path.exists():
        before = pd.read_csv(path)
        rows = pd.concat([before[~before.task.isin(rows.task)], rows])
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, rows.to_csv(index=False))


def put(text: str, kept: Path) -> str:
    """Give a document with its tables as the files say."""

    def table(marks: re.Match[str]) -> str:
        kind, _, task = marks[2].partition("_")
        return f"{marks[1]}{TABLES[kind](kept, task)}{marks[3]}"

    return MARKS.sub(table, text)


def accuracy(kept: Path, task: str) -> str:
    """Tell each strategy's AUROC and its difference to the reference, with verdict."""
    scores, differences = (_of(kept / name, task) for name in ("auroc.csv", "differences.csv"))
    reference = differences.reference.iloc[0]
    to_reference = differences[(differences.reference == reference) & (differences.metric == AREA)]
    twins = dict(differences[differences.verdict == "identical"][["strategy", "reference"]].values)
    lines = [
        "| strategy | AUROC, mean of seeds | least, greatest | within sites | difference (90 % interval) | "
        "verdict |",
        "|---|---|---|---|---|---|",
    ]
    for strategy in dict.fromkeys(scores.strategy):
        own = scores[scores.strategy == strategy]
        pooled, within = (own[own.site == site].value for site in SHOWN)
        row = to_reference[to_reference.strategy == strategy]
        told = _difference(row.iloc[0]) if len(row) else "the reference | "
        name = f"`{strategy}`" + (f" (= `{twins[strategy]}`)" if strategy in twins else "")
        spread = f"{_share(pooled.min())}, {_share(pooled.max())}"
        lines.append(f"| {name} | {_share(pooled.mean())} | {spread} | {_share(within.mean())} | {told} |")
    return "\n".join(lines) + "\n"


def cost(kept: Path, task: str) -> str:
    """Tell what a site paid on average: operations, bytes, processor seconds, memory."""
    means = _of(kept / "costs.csv", task).groupby(["strategy", "measure"], sort=False).value.mean().unstack()
    lines = [
        "| strategy | 10\u2076 operations | MB up | MB down | processor seconds | peak memory, MB |",
        "|---|---|---|---|---|---|",
    ]
    for strategy, row in means.iterrows():
        figures = (
            f"{row.flops / MEGA:,.1f}", f"{row.bytes_up / MEGA:,.2f}", f"{row.bytes_down / MEGA:,.2f}",
            f"{row.cpu_seconds:,.1f}", f"{row.peak_memory / MEGA:,.0f}",
        )  # fmt: skip
        lines.append(f"| `{strategy}` | {' | '.join(figures)} |")
    return "\n".join(lines) + "\n"


def summary(kept: Path, task: str) -> str:
    """Tell of every task how the strategies that matter compare with pooling: one line a task."""
    del task
    differences = pd.read_csv(kept / "differences.csv")
    chosen = ("split", "split_private", "splitfed_v2", "splitfed_v3", "fedavg", "local")
    lines = [
        f"| task | `centralized` | {' | '.join(f'`{name}`' for name in chosen)} | margin |",
        "|---|---|" + "---|" * (len(chosen) + 1),
    ]
    for name in dict.fromkeys(map(whole, differences.task)):
        if not set(chosen) <= set(differences[differences.task.map(whole) == name].strategy):
            continue  # a task of another study, with a table of its own
        base = _of(kept / "auroc.csv", name).query("strategy == 'centralized' and site == 'all'").value.mean()
        own = differences[differences.task.map(whole).eq(name) & differences.reference.eq("centralized")]
        cells = [_cell(own[own.strategy == each]) for each in chosen]
        lines.append(f"| {name} | {_share(base)} | {' | '.join(cells)} | {_share(own.margin.iloc[0])} |")
    return "\n".join(lines) + "\n"


def folds(kept: Path, task: str) -> str:
    """Tell of a task with folds: means over them, and how many fall under each verdict."""
    scores, differences = (_of(kept / name, task) for name in ("auroc.csv", "differences.csv"))
    lines = [
        "| strategy | AUROC, mean of folds | within sites | difference, mean | least, greatest | verdicts |",
        "|---|---|---|---|---|---|",
    ]
    for strategy in dict.fromkeys(scores.strategy):
        own = scores[scores.strategy == strategy]
        pooled, within = (_share(own[own.site == site].value.mean()) for site in SHOWN)
        rows = differences[(differences.strategy == strategy) & (differences.metric == AREA)]
        told = "the reference | | "
        if len(rows):
            counts = ", ".join(f"{count} {verdict}" for verdict, count in rows.verdict.value_counts().items())
            spread = f"{_signed(rows.difference.min())}, {_signed(rows.difference.max())}"
            told = f"{_signed(rows.difference.mean())} | {spread} | {counts}"
        lines.append(f"| `{strategy}` | {pooled} | {within} | {told} |")
    return "\n".join(lines) + "\n"


def absent(kept: Path, task: str) -> str:
    """Tell the AUROC at each site that took no part in training, by strategy."""
    del task
    scores = pd.read_csv(kept / "auroc.csv")
    scores = scores[
        (scores.site == scores.task.str.removeprefix(WITHOUT)) & scores.task.str.startswith(WITHOUT)
    ]
    strategies = list(dict.fromkeys(scores.strategy))
    lines = [f"| site | patients | {' | '.join(f'`{name}`' for name in strategies)} |"]
    lines.append("|---|---|" + "---|" * len(strategies))
    for site, rows in scores.groupby("site", sort=False):
        values = [rows[rows.strategy == name].value for name in strategies]
        cells = [f"{_share(v.mean())} [{_share(v.min())}, {_share(v.max())}]" for v in values]
        lines.append(f"| {site} | {int(rows.n.max())} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def privacy(kept: Path, task: str) -> str:
    """Tell what the strongest attack of each attacker found of each strategy, beside a trivial guess."""
    rows = _of(kept / "privacy.csv", task)
    strategies = list(dict.fromkeys(rows.strategy))
    lines = [
        f"| what, by whom | {' | '.join(f'`{name}`' for name in strategies)} |",
        "|---|" + "---|" * len(strategies),
    ]
    for (asset, model), own in rows.groupby(["asset", "threat_model"], sort=False):
        cells = [_found(own[own.strategy == name]) for name in strategies]
        lines.append(f"| {asset}, {model.replace('_', ' ')} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


TABLES: Final = {
    "absent": absent, "accuracy": accuracy, "cost": cost, "folds": folds, "privacy": privacy,
    "summary": summary,
}  # fmt: skip


def _cell(rows: pd.DataFrame) -> str:
    if rows.empty:
        return ""
    counts = rows.verdict.value_counts()
    told = counts.index[0] if len(rows) == 1 else ", ".join(f"{n} {verdict}" for verdict, n in counts.items())
    return f"{_signed(rows.difference.mean())} {told}"


def _found(rows: pd.DataFrame) -> str:
    if rows.empty:
        return ""
    row = rows.iloc[0]
    tried = "" if row.validated else "*"
    return f"{_share(row.value)} ({_share(row.baseline)}){tried}"


def _of(path: Path, task: str) -> pd.DataFrame:
    rows = pd.read_csv(path)
    return rows[rows.task.map(whole) == task]


def _difference(row: pd.Series) -> str:
    ends = f"{_signed(row.ci_low)} to {_signed(row.ci_high)}"
    return f"{_signed(row.difference)} ({ends}) | {row.verdict}"


def _share(value: float) -> str:
    return f"{value:.3f}".replace("0.", ".", 1) if value < 1 else f"{value:.3f}"


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("0.", ".", 1)


def write(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.rename(path)


if __name__ == "__main__":
    sys.exit(main())
