"""Cost against cut depth and against the number of sites, where a study varies nothing else."""

from collections.abc import Iterator
from typing import Any

from coordinator.comparison.estimates import Rows
from coordinator.comparison.targets import Costs
from coordinator.comparison.variants import variant_rows
from coordinator.protocol.keys import COORDINATOR
from coordinator.specs import POOLED, Evaluation

FREE = (
    "strategy",
    "cut",
    "identical_to",
)  # what may differ between strategies that are one with several cuts


def sweep_rows(spec: Evaluation, paid: Costs) -> Rows:
    """List what a site and the run paid, means over seeds, for each value of what is varied.

    A cut's place is its rank by what the sites compute, so that a deeper cut stands further right; a number
    of sites is its own. Bytes are both ways and like operations the mean over sites; seconds are the run's.
    A pool is no site, and is left out.
    """
    return [*_over_cuts(spec, paid), *_over_sites(spec, paid)]


def _over_cuts(spec: Evaluation, paid: Costs) -> Iterator[dict[str, Any]]:
    families: dict[str, Rows] = {}
    for row in variant_rows(spec):
        if row["cut"]:
            fixed = repr({name: value for name, value in row.items() if name not in FREE})
            families.setdefault(fixed, []).append(row)
    for rows in families.values():
        if len({row["cut"] for row in rows}) > 1:
            found = [(row, _spent(spec, paid, row["task"], row["strategy"])) for row in rows]
            found.sort(key=lambda each: each[1]["flops"])
            for place, (row, spent) in enumerate(found):
                label = row["cut"].replace(" ", ", ")
                yield {
                    "task": row["task"], "kind": "cut", "family": rows[0]["strategy"], "of": row["task"],
                    "strategy": row["strategy"], "label": label, "place": place, **spent,
                }  # fmt: skip


def _over_sites(spec: Evaluation, paid: Costs) -> Iterator[dict[str, Any]]:
    families: dict[str, list[str]] = {}
    for name, task in spec.study.tasks.items():
        fixed = task.model_dump_json(exclude={"title", "sites"})
        families.setdefault(fixed, []).append(name)
    for tasks in families.values():
        sizes = {name: len(spec.study.tasks[name].sites) for name in tasks}
        if len(set(sizes.values())) < 2:
            continue
        for strategy in dict.fromkeys(
            run.strategy for run in spec.runs.values() if POOLED not in run.parties
        ):
            found = sorted((n for n in tasks if _ran(spec, n, strategy)), key=lambda each: sizes[each])
            for name in found if len(found) > 1 else ():
                yield {
                    "task": tasks[0], "kind": "sites", "family": strategy, "of": name, "strategy": strategy,
                    "label": str(sizes[name]), "place": sizes[name], **_spent(spec, paid, name, strategy),
                }  # fmt: skip


def _ran(spec: Evaluation, task: str, strategy: str) -> bool:
    return any((run.task, run.strategy) == (task, strategy) for run in spec.runs.values())


def _spent(spec: Evaluation, paid: Costs, task: str, strategy: str) -> dict[str, float]:
    runs = [paid[key] for key, run in spec.runs.items() if (run.task, run.strategy) == (task, strategy)]
    found = [_of_run(parties) for parties in runs]
    return {name: sum(each[name] for each in found) / len(found) for name in found[0]}


def _of_run(parties: dict[str, dict[str, float]]) -> dict[str, float]:
    sites = [measures for party, measures in parties.items() if party != COORDINATOR]
    whole = {
        "bytes": sum(each.get("bytes_up", 0.0) + each.get("bytes_down", 0.0) for each in sites),
        "flops": sum(each.get("flops", 0.0) for each in sites),
    }
    means = {name: value / max(1, len(sites)) for name, value in whole.items()}
    return {**means, "seconds": parties.get(COORDINATOR, {}).get("seconds", 0.0)}
