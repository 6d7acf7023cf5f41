"""What each place of a study across hospitals is sent: its specs, under names that people can read."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from coordinator.outcome import write_bytes
from coordinator.protocol.keys import COORDINATOR
from coordinator.specs import POOLED

Plan = dict[str, Any]


def hand_out(plan: Plan, folder: Path) -> list[str]:
    """Copy every place's specs to ``folder/PLACE``; give the places, the coordinator first.

    A pool of records lies at no hospital, so its runs are handed to nobody.
    """
    places = dict.fromkeys([COORDINATOR])
    found = [*_of_tasks(plan["tasks"]), *_of_runs(plan["runs"]), *_of_estimations(plan)]
    for place, name, spec in found:
        write_bytes(folder / place / name, Path(spec).read_bytes())
        places[place] = None
    return list(places)


def _of_tasks(tasks: Plan) -> Iterator[tuple[str, str, str]]:
    for task, found in tasks.items():
        for site, job in found["prepare"].items():
            yield site, f"preparation-{task}.json", job["spec"]
        for seed, job in found["agree"].items():
            for place in (COORDINATOR, *found["sites"]):
                yield place, f"agreement-{task}-{seed}.json", job["spec"]


def _of_estimations(plan: Plan) -> Iterator[tuple[str, str, str]]:
    for task, job in plan["estimations"].items():
        for place in (COORDINATOR, *plan["tasks"][task]["sites"]):
            yield place, f"estimation-{task}.json", job["spec"]


def _of_runs(runs: Plan) -> Iterator[tuple[str, str, str]]:
    for key, job in runs.items():
        parties = job["parties"]
        for place in () if POOLED in parties else (COORDINATOR, *parties):
            yield place, f"run-{key.replace('/', '-')}.json", job["spec"]
