"""How long each strategy would take over the network that the study describes."""

from pathlib import Path

from coordinator.algorithms.cohort import Cohort
from coordinator.comparison.agreed import statistics_file
from coordinator.comparison.estimates import Rows
from coordinator.comparison.learning import read_history
from coordinator.config import Network
from coordinator.network import busy, line_of, pooled, seconds_over
from coordinator.protocol.keys import COORDINATOR
from coordinator.specs import Evaluation, Run
from coordinator.statistics import read_statistics

Paid = dict[str, dict[str, float]]


def network_rows(spec: Evaluation, paid: dict[str, Paid], results: Path, network: Network) -> Rows:
    """List each strategy's seconds until its last round, here and over the network, means over seeds."""
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for key, run in spec.runs.items():
        if not pooled(run):
            here = max(entry.get("seconds", 0.0) for entry in read_history(spec, run, results))
            there = _there(run, paid[key], results, network)
            found.setdefault((run.task, run.strategy), []).append((here, there))
    return [
        {"task": task, "strategy": strategy, "here": _mean([one for one, _ in both]),
         "predicted": _mean([other for _, other in both]), "seeds": len(both)}
        for (task, strategy), both in found.items()
    ]  # fmt: skip


def _there(run: Run, paid: Paid, results: Path, network: Network) -> float:
    links = [network.sites.get(site, network.every) for site in run.sites]
    cohort = Cohort.of(read_statistics(statistics_file(results, run.task, run.seed)), run.sites)
    lines = [line_of(link.up_mbps, link.down_mbps, link.latency_ms) for link in links]
    work = [busy(paid, site, link.speed) for site, link in zip(run.sites, links, strict=True)]
    return seconds_over(run, cohort, lines, work, busy(paid, COORDINATOR, network.coordinator_speed))


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
