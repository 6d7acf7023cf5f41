"""What a study means, job by job: the specs, the files and the code each job depends on."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from coordinator import specs
from coordinator.config import Record, Site, Study, Task
from coordinator.consistency import check
from coordinator.errors import ConfigError
from coordinator.loaders import SOURCES
from coordinator.models.catalog import entry
from coordinator.sources import used_by
from coordinator.specs import POOLED, Agreement, Deal, Evaluation, Preparation, Run
from coordinator.strategies import axes_of, cut_of, training_of
from coordinator.study import data_root

Save = Callable[[Record, Path], Path]
# the programs of a gang, and what each does for a spec of that kind; of the launcher only what pins
# the threads, and so the arithmetic
PROGRAMS = (
    "coordinator.__main__",
    "coordinator.server.serve",
    "sites.__main__",
    "sites.client",
    "containers.environment",
)
AGREEING = (*PROGRAMS, "coordinator.server.agreeing", "sites.agreeing")
TRAINING = (*PROGRAMS, "coordinator.server.training", "sites.training")


def plan(study: Study, sites: dict[str, Site], *, write: bool) -> dict[str, Any]:
    """Resolve a study into specs, and write them if asked.

    Raises:
        ConfigError: a name is unknown or a combination impossible.
    """
    check(study)
    save = specs.write if write else specs.path_of
    preparations = {name: _preparations(study, sites, name) for name in study.tasks}
    runs = runs_of(study, {task: _folders(found) for task, found in preparations.items()})
    return {
        "study": study.name,
        "tasks": {name: _task(study, sites, name, preparations[name], save) for name in study.tasks},
        "runs": {key: _run(run, save) for key, run in runs.items()},
        "evaluation": _evaluation(study, sites, runs, save),
    }


def runs_of(study: Study, prepared: dict[str, dict[str, str]]) -> dict[str, Run]:
    """List a study's runs by ``task/strategy/seed``.

    Raises:
        ConfigError: an impossible combination.
    """
    return {
        f"{task}/{label}/{seed}": _resolve(study, task, label, seed, prepared[task])
        for task in study.tasks
        for label, strategy in study.strategies.items()
        if strategy.tasks is None or task in strategy.tasks
        for seed in study.seeds
    }


def _preparations(study: Study, sites: dict[str, Site], name: str) -> dict[str, tuple[str, Preparation]]:
    task = study.tasks[name]
    dealt = _deal(study, sites, task)
    found = {}
    for site in task.sites:
        spec = Preparation(
            site=sites[site], data=task.data, reads=entry(task.model).reads, split=task.split,
            split_seed=study.split_seed, min_patients=study.min_patients,
        )  # fmt: skip
        digest = (
            specs.digest(spec)[:12] if dealt is None else f"{specs.digest(spec)[:6]}{specs.digest(dealt)[:6]}"
        )
        found[site] = (f"prepared/{task.data.source}-{site}-{digest}", spec)
    return found


def _deal(study: Study, sites: dict[str, Site], task: Task) -> Deal | None:
    if not SOURCES[task.data.source].dealt:
        return None
    return Deal(data=task.data, sites=tuple(sites[name] for name in task.sites), seed=study.split_seed)


def _folders(preparations: dict[str, tuple[str, Preparation]]) -> dict[str, str]:
    return {site: folder for site, (folder, _) in preparations.items()}


def _task(
    study: Study,
    sites: dict[str, Site],
    name: str,
    preparations: dict[str, tuple[str, Preparation]],
    save: Save,
) -> dict[str, Any]:
    task, folders = study.tasks[name], _folders(preparations)
    loader = SOURCES[task.data.source].module
    deal = _deal(study, sites, task)
    shared = Path("prepared/specs")
    own = Path("state", study.name, "specs")
    return {
        "sites": list(task.sites),
        "deal": deal and {
            "folder": f"prepared/{task.data.source}-dealt-{specs.digest(deal)[:12]}",
            "spec": str(save(deal, shared)),
            "code": used_by(["sites.__main__", "sites.deal", loader]),
        },
        "prepare": {
            site: {
                "folder": folder,
                "spec": str(save(spec, shared)),
                "input": None if deal else str(_natural_file(study, sites[site], name, task)),
                "code": used_by(["sites.__main__", "sites.prepare", loader]),
            }
            for site, (folder, spec) in preparations.items()
        },
        "agree": {
            str(seed): {
                "spec": str(save(_agreement(study, name, seed, folders), own)),
                "code": used_by(AGREEING),
            }
            for seed in study.seeds
        },
    }  # fmt: skip


def _agreement(study: Study, name: str, seed: int, folders: dict[str, str]) -> Agreement:
    task = study.tasks[name]
    return Agreement(
        study=study.name, task=name, seed=seed, sites=task.sites, prepared=folders,
        validation=task.split.validation, missing=task.data.missing, reads=entry(task.model).reads,
        min_cell=study.min_cell, threads=study.threads_per_process,
    )  # fmt: skip


def _natural_file(study: Study, site: Site, name: str, task: Task) -> Path:
    source = task.data.source
    if source not in site.files:
        raise ConfigError(
            f"site '{site.name}' has no file for source '{source}'; "
            f"add `files: {{{source}: path}}` to config/sites/{site.name}.yaml",
            key=f"tasks.{name}.sites",
        )
    path = (data_root(study) / site.files[source]).resolve()
    if not os.access(path, os.R_OK):
        raise ConfigError(
            f"{path}: the file of site '{site.name}' is missing or not readable; "
            f"config/studies/README.md says where to get the '{source}' data, "
            "and data_root where Suture looks for it"
        )
    return path


def _resolve(study: Study, name: str, label: str, seed: int, prepared: dict[str, str]) -> Run:
    task, strategy = study.tasks[name], study.strategies[label]
    axes = axes_of(label, strategy)
    return Run(
        study=study.name, task=name, strategy=label, seed=seed, sites=task.sites,
        parties=(POOLED,) if axes["preset"] == "centralized" else task.sites,
        prepared=prepared, **cast(dict[str, Any], axes), site_weights=strategy.site_weights,
        cut=cut_of(study, name, label, axes), model=task.model, training=training_of(task, strategy),
        validation=task.split.validation, missing=task.data.missing, reads=entry(task.model).reads,
        release=study.release, threads=study.threads_per_process,
    )  # fmt: skip


def _run(run: Run, save: Save) -> dict[str, Any]:
    modules = [*TRAINING, f"coordinator.algorithms.{run.algorithm}", entry(run.model).module]
    return {
        "spec": str(save(run, Path("state", run.study, "specs"))),
        "parties": list(run.parties),
        "sites": list(run.sites),
        "code": used_by(modules),
    }


def _evaluation(study: Study, sites: dict[str, Site], runs: dict[str, Run], save: Save) -> dict[str, Any]:
    spec = Evaluation(study=study, sites=sites, runs=runs, identical=identical(runs))
    return {
        "spec": str(save(spec, Path("state", study.name, "specs"))),
        "code": used_by(["coordinator.__main__", "coordinator.comparison.evaluate"]),
    }


def identical(runs: dict[str, Run]) -> dict[str, str]:
    """Pair each run's strategy with an earlier one that equals it by construction.

    Vanilla and U-shaped split learning do the same arithmetic in the same order on the same list of
    batches, whatever the cut; so does centralized training on that list.
    """
    found: dict[str, str] = {}
    first: dict[str, str] = {}
    for run in runs.values():
        if run.algorithm == "split" or run.batches == "by_site":
            same = f"{run.task} {specs.digest(run.model)} {specs.digest(run.training)} {run.site_weights}"
            earlier = first.setdefault(same, run.strategy)
            if earlier != run.strategy:
                found[f"{run.task}/{run.strategy}"] = earlier
    return found
