"""A small study compared from what its sites tell, in the formats that runs and estimations write."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from coordinator import specs
from coordinator.estimations import estimation_of
from coordinator.protocol.messages import Estimated
from coordinator.server.estimating import coordinate
from coordinator.specs import Estimation, Evaluation
from sites.estimating import estimate
from sites.kept_scores import keep
from tests.synthetic_results import write_study


class Channel:
    """Sites that have sent what they had to say."""

    def __init__(self, told: Mapping[str, Estimated]) -> None:
        self.sites, self._told = tuple(told), list(told.values())

    def gather(self, kind: type) -> list[Estimated]:
        """Give what every site sent."""
        assert kind is Estimated
        return self._told

    def admit(self, waiting: object) -> None: ...

    def welcome(self, records: object) -> None: ...

    def finish(self) -> None: ...

    def dismiss(self) -> None: ...

    def close(self) -> None: ...


def write_federated_study(folder: Path, **changes: Any) -> tuple[Path, Path]:
    """Write what a finished study leaves of which no score left a site; returns spec and results folder."""
    path, results = write_study(folder, evaluation="federated", release="nothing", **changes)
    spec = specs.read(Evaluation, path)
    for task in spec.study.tasks:
        estimate_task(folder / task, spec, results, task)
    for released in list(results.rglob("predictions")):
        shutil.rmtree(released)
    return path, results


def estimate_task(
    folder: Path, spec: Evaluation, results: Path, task: str
) -> tuple[Estimation, dict[str, Estimated]]:
    """Let each site estimate a task from the scores it would have kept, and write what they tell."""
    asked = _kept_of(folder, spec, results, task)
    told = {site: estimate(asked, site) for site in asked.sites}
    (folder / "spec.json").write_text(asked.model_dump_json())

    class Options:
        spec, state = folder / "spec.json", results / "estimates" / task

    coordinate(Options, lambda *_: Channel(told))
    (Options.state / "out" / "estimates.json").rename(Options.state / "estimates.json")
    return asked, told


def _kept_of(folder: Path, spec: Evaluation, results: Path, task: str) -> Estimation:
    """Give each site the scores that the runs released, as it would have kept them."""
    runs = [run for run in spec.runs.values() if run.task == task]
    planned = estimation_of(spec.study, runs)
    scores: dict[str, dict[str, str]] = {site: {} for site in planned.sites}
    for run in runs:
        name = f"{run.strategy}/{run.seed}"
        for site in planned.sites:
            released = results / "runs" / task / name / f"predictions/{site}.parquet"
            path = folder / "kept" / name / f"{site}.parquet"
            keep(pq.read_table(released).to_pandas(), path, specs.run_digest(run))
            scores[site][name] = str(path)
    return planned.model_copy(update={"scores": scores})
