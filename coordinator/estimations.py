"""What is estimated where no score leaves: of which runs, and where each site has its scores."""

from pathlib import Path

from coordinator import specs
from coordinator.config import Study
from coordinator.specs import Estimation, Run
from coordinator.walking import may_lose


def estimation_of(study: Study, runs: list[Run]) -> Estimation:
    """Describe what each site estimates of a task's runs, from the scores that it keeps or its pool does."""
    first = runs[0]
    return Estimation(
        study=study.name, task=first.task, sites=first.sites,
        runs={f"{run.strategy}/{run.seed}": specs.run_digest(run) for run in runs},
        scores={
            site: {f"{run.strategy}/{run.seed}": str(_kept(run, site)) for run in runs}
            for site in first.sites
        },
        away=tuple(dict.fromkeys(run.strategy for run in runs if may_lose(run))),
        min_cell=study.min_cell, bootstrap=study.bootstrap, specificity=study.specificity,
        split_seed=study.split_seed, threads=first.threads, gate=study.gate,
    )  # fmt: skip


def _kept(run: Run, site: str) -> Path:
    party = site if site in run.parties else specs.POOLED
    return Path("state", run.study, run.task, run.strategy, str(run.seed), party, "scores", f"{site}.parquet")
