"""What a study means, job by job: the specs, the files and the code each job depends on."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from coordinator import specs
from coordinator.attacks.adapted import whole_models_are_private
from coordinator.config import Data, Record, Site, Study, Task
from coordinator.consistency import check
from coordinator.errors import ConfigError
from coordinator.estimations import estimation_of
from coordinator.loaders import SOURCES, is_dealt, modalities_of
from coordinator.models.catalog import code_of
from coordinator.runs import identical, runs_of
from coordinator.sources import used_by
from coordinator.specs import Agreement, Audit, Deal, Evaluation, Preparation, Run
from coordinator.study import data_root

Save = Callable[[Record, Path], Path]
# the programs of a gang, and what each does for a spec of that kind; of the launcher only what pins
# the threads, and so the arithmetic
PROGRAMS = (
    "coordinator.__main__",
    "coordinator.server.serve",
    "coordinator.fork_server",
    "sites.__main__",
    "sites.client",
    "containers.environment",
)
ESTIMATING = (*PROGRAMS, "coordinator.server.estimating", "sites.estimating")
AGREEING = (*PROGRAMS, "coordinator.server.agreeing", "sites.agreeing")
TRAINING = (*PROGRAMS, "coordinator.server.training", "sites.training")
GATES: dict[str, tuple[str, ...]] = {"inside": (), "outside": ("sites.gatekeeping", "sites.visits")}
# what a site loads where models, or parts of one, that leave are trained by DP-SGD
PRIVATE = ("coordinator.algorithms.private_steps", "coordinator.privacy.sampled_accounting")
PRIVATE_PARTS = ("coordinator.algorithms.private_fronts",)
PRIVATE_SHADOWS = ("coordinator.attacks.private_shadows",)


def plan(study: Study, sites: dict[str, Site], *, write: bool, elsewhere: bool = False) -> dict[str, Any]:
    """Resolve a study into specs, and write them if asked.

    Args: `elsewhere` says that the hospitals' files lie at the hospitals, and are not looked for here.

    Raises:
        ConfigError: a name is unknown or a combination impossible.
    """
    check(study, sites, elsewhere=elsewhere)
    save = specs.write if write else specs.path_of
    preparations = {name: _preparations(study, sites, name) for name in study.tasks}
    own = Path("state", study.name, "specs")
    runs = runs_of(study, {task: _folders(found) for task, found in preparations.items()}, sites)
    return {
        "study": study.name,
        "runtime": study.runtime,
        "images": study.images,
        "memory_mb": study.memory_mb,
        "sites": {name: str(save(sites[name], own)) for name in sorted(sites)},
        "tasks": {
            name: _task(study, sites, name, preparations[name], save, elsewhere) for name in study.tasks
        },
        "runs": {key: _run(run, save) for key, run in runs.items()},
        "audits": _audits(study, runs, save),
        "estimations": _estimations(study, runs, save),
        "evaluation": _evaluation(study, sites, runs, save),
    }


def _preparations(study: Study, sites: dict[str, Site], name: str) -> dict[str, tuple[str, Preparation]]:
    task = study.tasks[name]
    dealt = _deal(study, sites, name, task)
    found = {}
    for site in task.sites:
        spec = Preparation(
            site=_of_records(sites[site]), data=_data(name, task), modalities=modalities_of(name, task),
            split=task.split, split_seed=study.split_seed, held_out=site in task.split.held_out,
            min_patients=study.min_patients, min_cell=study.min_cell,
        )  # fmt: skip
        found[site] = (specs.prepared_folder(spec, dealt), spec)
    return found


def _data(name: str, task: Task) -> Data:
    # what changes no prepared file must not change its digest
    return task.data.model_copy(update={"modalities": modalities_of(name, task), "augment": ()})


def _of_records(site: Site) -> Site:
    # nor where a site computes, or what it allows
    changed = {"device": None, "allow_models": (), "allow_recording": False, "allow_gallery": False}
    return site.model_copy(update=changed)


def _deal(study: Study, sites: dict[str, Site], name: str, task: Task) -> Deal | None:
    if not is_dealt(task.data):
        return None
    path = None
    if task.data.path:
        path = str(_readable(data_root(study) / task.data.path, f"the '{task.data.source}' data"))
    of_task = tuple(_of_records(sites[site]) for site in task.sites)
    return Deal(data=_data(name, task), sites=of_task, seed=study.split_seed, path=path)


def _folders(preparations: dict[str, tuple[str, Preparation]]) -> dict[str, str]:
    return {site: folder for site, (folder, _) in preparations.items()}


def _task(
    study: Study,
    sites: dict[str, Site],
    name: str,
    preparations: dict[str, tuple[str, Preparation]],
    save: Save,
    elsewhere: bool,
) -> dict[str, Any]:
    task, folders = study.tasks[name], _folders(preparations)
    loader = SOURCES[task.data.source].module
    deal = _deal(study, sites, name, task)
    shared = Path("prepared/specs")
    own = Path("state", study.name, "specs")
    return {
        "sites": list(task.sites),
        "deal": deal and {
            "folder": f"prepared/{task.data.source}-dealt-{specs.digest(deal)[:12]}",
            "spec": str(save(deal, shared)),
            "input": deal.path,
            "code": used_by(["sites.__main__", "sites.deal", loader]),
        },
        "prepare": {
            site: {
                "folder": folder,
                "spec": str(save(spec, shared)),
                "input": None if deal or elsewhere else str(_natural_file(study, sites[site], name, task)),
                "code": used_by(["sites.__main__", "sites.prepare", loader]),
            }
            for site, (folder, spec) in preparations.items()
        },
        "agree": {
            str(seed): {
                "spec": str(save(_agreement(study, name, seed, folders), own)),
                "frozen": _frozen(name, task),
                "code": used_by([*AGREEING, *GATES[study.gate]]),
            }
            for seed in study.seeds
        },
    }  # fmt: skip


def _agreement(study: Study, name: str, seed: int, folders: dict[str, str]) -> Agreement:
    task = study.tasks[name]
    return Agreement(
        study=study.name, task=name, seed=seed, sites=task.sites, prepared=folders,
        validation=task.split.validation, missing=task.data.missing, frozen=_frozen(name, task),
        min_cell=study.min_cell, threads=study.threads_per_process, gate=study.gate,
    )  # fmt: skip


def _natural_file(study: Study, site: Site, name: str, task: Task) -> Path:
    source = task.data.source
    if source not in site.files:
        raise ConfigError(
            f"site '{site.name}' has no file for source '{source}'; "
            f"add `files: {{{source}: path}}` to config/sites/{site.name}.yaml",
            key=f"tasks.{name}.sites",
        )
    return _readable(data_root(study) / site.files[source], f"the '{source}' file of site '{site.name}'")


def _readable(path: Path, what: str) -> Path:
    if not os.access(path, os.R_OK):
        raise ConfigError(
            f"{path.resolve()}: {what} is missing or not readable; config/studies/README.md says where to "
            "get it, and data_root where Suture looks for it"
        )
    return path.resolve()


def _frozen(name: str, task: Task) -> str | None:
    if task.statistics is None:
        return None
    path = Path(task.statistics).expanduser()
    if not os.access(path, os.R_OK):
        raise ConfigError(
            f"{path}: no such file; name a statistics.json that sites agreed on",
            key=f"tasks.{name}.statistics",
        )
    return str(path.resolve())


def _audits(study: Study, runs: dict[str, Run], save: Save) -> dict[str, Any]:
    if study.audit == "none":
        return {}
    together: dict[str, dict[str, Run]] = {}
    for run in runs.values():
        together.setdefault(f"{run.task}/{run.seed}", {})[run.strategy] = run
    return {key: _audit(study, found, save) for key, found in together.items()}


def _audit(study: Study, runs: dict[str, Run], save: Save) -> dict[str, Any]:
    first = next(iter(runs.values()))
    spec = Audit(
        study=first.study, task=first.task, seed=first.seed, runs=runs, threads=first.threads,
        effort="full" if study.audit == "full" else "small", gallery=study.gallery,
    )  # fmt: skip
    shadows = PRIVATE_SHADOWS if any(whole_models_are_private(run) for run in runs.values()) else ()
    return {
        "spec": str(save(spec, Path("state", first.study, "specs"))),
        "runs": [f"{first.task}/{label}/{first.seed}" for label in runs],
        "code": used_by(["sites.__main__", "sites.audit", *shadows, *code_of(first.model)]),
    }


def _estimations(study: Study, runs: dict[str, Run], save: Save) -> dict[str, Any]:
    if study.evaluation != "federated":
        return {}
    found = {task: [run for run in runs.values() if run.task == task] for task in study.tasks}
    return {
        task: {
            "spec": str(save(estimation_of(study, own), Path("state", study.name, "specs"))),
            "runs": [key for key, run in runs.items() if run.task == task],
            "code": used_by([*ESTIMATING, *GATES[study.gate]]),
        }
        for task, own in found.items()
        if own
    }


def _run(run: Run, save: Save) -> dict[str, Any]:
    modules = [*TRAINING, *GATES[run.gate], f"coordinator.algorithms.{run.algorithm}", *code_of(run.model)]
    if run.privacy.dp_sgd:
        modules += PRIVATE_PARTS if run.algorithm == "split" else PRIVATE
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
