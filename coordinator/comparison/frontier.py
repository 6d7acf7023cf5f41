"""Privacy, utility and cost side by side: what the strongest attack finds, and AUROC and bytes beside it.

An arm lies on the frontier where no other of its task, attacked for the same thing by the same attacker, is
at least as good in all three and better in one: in what is found beyond a trivial guess, in the difference
from the reference's AUROC, and in the bytes that sites move. Points are compared, not intervals; what is
found is a floor.
"""

from collections.abc import Mapping
from typing import Any, Final

from coordinator.attacks.adapted import KNOWING
from coordinator.comparison.estimates import Rows
from coordinator.comparison.private import ALSO, ASSETS, is_new, strongest
from coordinator.specs import Evaluation

AREA: Final = "auroc"
Paid = Mapping[str, Mapping[str, Mapping[str, float]]]


def frontier_rows(spec: Evaluation, attacks: Rows, differences: Rows, paid: Paid) -> Rows:
    """Lay out every attacked strategy: a row for each thing that is learned, and each attacker."""
    rows: Rows = []
    for task in spec.study.tasks:
        runs = [run for run in spec.runs.values() if run.task == task]
        first = str(min((run.seed for run in runs), default=0))
        own = [row for row in attacks if row["task"] == task and str(row["seed"]) == first]
        for asset in ASSETS:
            for model in ALSO:
                found = [
                    {**attacked, **_utility(spec, differences, task, name), **_cost(spec, paid, task, name)}
                    for name in dict.fromkeys(run.strategy for run in runs)
                    if (attacked := _attacked(own, name, asset, model))
                ]
                rows += [{"task": task, **row, "on_frontier": not _beaten(row, found)} for row in found]
    return rows


def _attacked(rows: Rows, strategy: str, asset: str, model: str) -> dict[str, Any]:
    found = strongest(rows, strategy, asset, model)
    if found is None or not is_new(rows, strategy, asset, model):
        return {}
    beyond = {
        name: end - found.baseline
        for name, end in (("beyond", found.value), ("low", found.low), ("high", found.high))
    }
    return {
        "strategy": strategy, "asset": asset, "threat_model": model, "measure": ASSETS[asset][1],
        "attack": found.attack, "knowing": found.target.partition(KNOWING)[2],
        "validated": found.validated, "value": found.value, "baseline": found.baseline, **beyond,
    }  # fmt: skip


def _utility(spec: Evaluation, differences: Rows, task: str, strategy: str) -> dict[str, Any]:
    """Give the AUROC's difference from the reference's and its 90 % interval; of the reference itself 0."""
    if strategy == spec.study.reference:
        return {"difference": 0.0, "ci_low": None, "ci_high": None}
    for row in differences:
        place = (row["task"], row["strategy"], row["reference"], row["metric"])
        if place == (task, strategy, spec.study.reference, AREA):
            return {name: row[name] for name in ("difference", "ci_low", "ci_high")}
    return {"difference": None, "ci_low": None, "ci_high": None}


def _cost(spec: Evaluation, paid: Paid, task: str, strategy: str) -> dict[str, float]:
    """Give what all sites move and compute in a run, mean over seeds."""
    found = [
        [paid[key].get(party, {}) for party in run.parties]
        for key, run in spec.runs.items()
        if (run.task, run.strategy) == (task, strategy)
    ]

    def mean(*measures: str) -> float:
        return sum(party.get(name, 0) for run in found for party in run for name in measures) / len(found)

    return {"bytes": mean("bytes_up", "bytes_down"), "flops": mean("flops")}


def _beaten(row: Mapping[str, Any], rows: Rows) -> bool:
    """Say whether another strategy is as good in all, and better in one."""
    mine = _goods(row)
    return any(
        all(a >= b for a, b in zip(_goods(other), mine, strict=True)) and _goods(other) != mine
        for other in rows
    )


def _goods(row: Mapping[str, Any]) -> tuple[float, float, float]:
    difference = row["difference"] if row["difference"] not in (None, "") else float("-inf")
    return -max(0.0, row["beyond"]), float(difference), -row["bytes"]
