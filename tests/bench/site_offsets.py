"""``python -m tests.bench.site_offsets results/STUDY``: how much of a loss is in the sites' levels.

AUROC over all sites' patients also ranks patients of different hospitals. Three numbers per strategy, means
over seeds: over all; within sites (weights n_pos x n_neg); and over all once every site's log odds are
shifted until their mean probability is the site's share of the outcome, the same levels for every model.
"""

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from rich.console import Console
from rich.table import Table
from scipy.optimize import brentq
from scipy.special import expit, logit
from sklearn.metrics import roc_auc_score

Floats = npt.NDArray[np.float64]


def main(folder: Path) -> None:
    """Print a line per strategy, and how far it is from centralized."""
    rows = pd.DataFrame([row_of(run) for run in sorted(folder.glob("runs/*/*/*"))])
    means = rows.groupby(["task", "strategy"]).mean(numeric_only=True)
    kinds = ["all", "within", "shifted"]
    table = Table("task", "strategy", "seeds", *kinds, *(f"{kind} - centralized" for kind in kinds))
    counts = rows.groupby(["task", "strategy"]).size()
    for task, strategy in means.index:
        found, pooled = means.loc[(task, strategy), kinds], means.loc[(task, "centralized"), kinds]
        numbers = [f"{value:.4f}" for value in found] + [f"{value:+.4f}" for value in found - pooled]
        table.add_row(task, strategy, str(counts[task, strategy]), *numbers)
    Console(width=160).print(table)


def row_of(run: Path) -> dict[str, object]:
    """Read a run's released test scores."""
    sites = [pd.read_parquet(path) for path in sorted((run / "predictions").glob("*.parquet"))]
    labels = [site["label"].to_numpy() for site in sites]
    odds = [logit(site["score"].to_numpy().clip(1e-9, 1 - 1e-9)) for site in sites]
    return {
        "task": run.parts[-3], "strategy": run.parts[-2],
        "all": area(labels, odds), "within": within(labels, odds),
        "shifted": area(labels, [shifted(*each) for each in zip(labels, odds, strict=True)]),
    }  # fmt: skip


def area(labels: list[npt.NDArray[np.int64]], odds: list[Floats]) -> float:
    """Give the AUROC over all sites' records."""
    return float(roc_auc_score(np.concatenate(labels), np.concatenate(odds)))


def within(labels: list[npt.NDArray[np.int64]], odds: list[Floats]) -> float:
    """Average the sites' AUROC by their pairs; a site of one class has none."""
    pairs = [int(each.sum() * (1 - each).sum()) for each in labels]
    areas = [area([y], [z]) if n else 0.0 for y, z, n in zip(labels, odds, pairs, strict=True)]
    return float(np.average(areas, weights=pairs))


def shifted(labels: npt.NDArray[np.int64], odds: Floats) -> Floats:
    """Shift a site's log odds until the mean probability is its share of the outcome (half a record more)."""
    share = (labels.sum() + 0.5) / (len(labels) + 1)
    moved: Floats = odds + brentq(lambda shift: float(expit(odds + shift).mean()) - share, -60, 60)
    return moved


if __name__ == "__main__":
    main(Path(sys.argv[1]))
