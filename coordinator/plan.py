"""What a study means, job by job: the specs, the files and the code each job depends on."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from coordinator import specs
from coordinator.config import Data, Device, Record, Site, Study, Task, Training
from coordinator.consistency import check
from coordinator.errors import ConfigError
from coordinator.fitting_rules import check_fitting, check_grids, check_participation
from coordinator.loaders import SOURCES, is_dealt, modalities_of
from coordinator.models.catalog import code_of
from coordinator.participation import with_recorded
from coordinator.protocol.keys import COORDINATOR
from coordinator.sources import used_by
from coordinator.specs import POOLED, Agreement, Audit, Deal, Evaluation, Preparation, Run
from coordinator.strategies import axes_of, check_optimizer, cut_of, training_of
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
AGREEING = (*PROGRAMS, "coordinator.server.agreeing", "sites.agreeing")
TRAINING = (*PROGRAMS, "coordinator.server.training", "sites.training")


def plan(study: Study, sites: dict[str, Site], *, write: bool) -> dict[str, Any]:
    """Resolve a study into specs, and write them if asked.

    Raises:
        ConfigError: a name is unknown or a combination impossible.
    """
    check(study, sites)
    save = specs.write if write else specs.path_of
    preparations = {name: _preparations(study, sites, name) for name in study.tasks}
    runs = runs_of(study, {task: _folders(found) for task, found in preparations.items()}, sites)
    return {
        "study": study.name,
        "runtime": study.runtime,
        "tasks": {name: _task(study, sites, name, preparations[name], save) for name in study.tasks},
        "runs": {key: _run(run, save) for key, run in runs.items()},
        "audits": _audits(study, runs, save),
        "evaluation": _evaluation(study, sites, runs, save),
    }


def runs_of(
    study: Study, prepared: dict[str, dict[str, str]], sites: dict[str, Site] | None = None
) -> dict[str, Run]:
    """List a study's runs by ``task/strategy/seed``; `sites` say what each allows, and its device.

    Raises:
        ConfigError: an impossible combination.
    """
    for task, found in study.tasks.items():
        taking = {k: s for k, s in study.strategies.items() if s.tasks is None or task in s.tasks}
        check_grids(task, {k: len(training_of(found, s).learning_rates) for k, s in taking.items()})
    return {
        f"{task}/{label}/{seed}": _resolve(study, sites or {}, task, label, seed, prepared[task])
        for task in study.tasks
        for label, strategy in study.strategies.items()
        if strategy.tasks is None or task in strategy.tasks
        for seed in study.seeds
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
        digest = (
            specs.digest(spec)[:12] if dealt is None else f"{specs.digest(spec)[:6]}{specs.digest(dealt)[:6]}"
        )
        found[site] = (f"prepared/{task.data.source}-{site}-{digest}", spec)
    return found


def _data(name: str, task: Task) -> Data:
    # what changes no prepared file must not change its digest
    return task.data.model_copy(update={"modalities": modalities_of(name, task), "augment": ()})


def _of_records(site: Site) -> Site:
    # nor where a site computes, or what it allows
    return site.model_copy(update={"device": None, "allow_models": (), "allow_recording": False})


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
                "input": None if deal else str(_natural_file(study, sites[site], name, task)),
                "code": used_by(["sites.__main__", "sites.prepare", loader]),
            }
            for site, (folder, spec) in preparations.items()
        },
        "agree": {
            str(seed): {
                "spec": str(save(_agreement(study, name, seed, folders), own)),
                "frozen": _frozen(name, task),
                "code": used_by(AGREEING),
            }
            for seed in study.seeds
        },
    }  # fmt: skip


def _agreement(study: Study, name: str, seed: int, folders: dict[str, str]) -> Agreement:
    task = study.tasks[name]
    return Agreement(
        study=study.name, task=name, seed=seed, sites=task.sites, prepared=folders,
        validation=task.split.validation, missing=task.data.missing, frozen=_frozen(name, task),
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


def _devices(study: Study, task: Task, sites: dict[str, Site]) -> dict[str, Device]:
    """Name the device of every party that does not compute on the CPU."""
    own = {site: sites[site].device for site in task.sites if site in sites}
    parties = (COORDINATOR, POOLED, *task.sites)
    return {party: device for party in parties if (device := own.get(party) or study.device) != "cpu"}


def _allowed(task: Task, sites: dict[str, Site]) -> dict[str, tuple[str, ...]]:
    """Name the networks of the study's own that each site lets run."""
    return {site: sites[site].allow_models for site in task.sites} if task.model.path else {}


def _resolve(
    study: Study, sites: dict[str, Site], name: str, label: str, seed: int, prepared: dict[str, str]
) -> Run:
    task, strategy = study.tasks[name], study.strategies[label]
    axes, training = axes_of(label, strategy), training_of(task, strategy)
    check_optimizer(label, axes, training)
    check_fitting(label, axes, training)
    check_participation(label, axes, strategy, training, task.sites)
    share = strategy.participation
    run = Run(
        study=study.name, task=name, strategy=label, seed=seed, sites=task.sites,
        parties=(POOLED,) if axes["preset"] == "centralized" else task.sites,
        prepared=prepared, **axes, site_weights=strategy.site_weights,
        cut=cut_of(study, name, label, axes), model=task.model, training=training,
        allow_models=_allowed(task, sites),
        participation=1.0 if isinstance(share, str) else share, join=strategy.join, leave=strategy.leave,
        validation=task.split.validation, missing=task.data.missing, augment=task.data.augment,
        release=study.release, record_round=_recorded_round(study, training),
        threads=study.threads_per_process, devices=_devices(study, task, sites),
    )  # fmt: skip
    if not isinstance(share, str):
        return run
    return with_recorded(run, Path(share).expanduser())


def _recorded_round(study: Study, training: Training) -> int | None:
    """Number the round that the coordinator keeps, from 0: the study's, at most the last."""
    if not study.record_wire:
        return None
    return min(study.record_round or training.rounds, training.rounds) - 1


def _audits(study: Study, runs: dict[str, Run], save: Save) -> dict[str, Any]:
    if study.audit == "none":
        return {}
    together: dict[str, dict[str, Run]] = {}
    for run in runs.values():
        together.setdefault(f"{run.task}/{run.seed}", {})[run.strategy] = run
    return {key: _audit(found, save) for key, found in together.items()}


def _audit(runs: dict[str, Run], save: Save) -> dict[str, Any]:
    first = next(iter(runs.values()))
    spec = Audit(study=first.study, task=first.task, seed=first.seed, runs=runs, threads=first.threads)
    return {
        "spec": str(save(spec, Path("state", first.study, "specs"))),
        "runs": [f"{first.task}/{label}/{first.seed}" for label in runs],
        "code": used_by(["sites.__main__", "sites.audit", *code_of(first.model)]),
    }


def _run(run: Run, save: Save) -> dict[str, Any]:
    modules = [*TRAINING, f"coordinator.algorithms.{run.algorithm}", *code_of(run.model)]
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
    """Pair each run's strategy with an earlier one that equals it by construction."""
    found: dict[str, str] = {}
    first: dict[str, str] = {}
    for run in runs.values():
        if same := sequence_of(run):
            earlier = first.setdefault(same, run.strategy)
            if earlier != run.strategy:
                found[f"{run.task}/{run.strategy}"] = earlier
    return found


def sequence_of(run: Run) -> str | None:
    """Name what a run computes, where others compute the same: the same arithmetic in the same order.

    Vanilla and U-shaped split learning are the same whatever the cut, where the sites' parts are handed on;
    so are cyclical transfer and centralized training on that list of batches. SplitFed v1 is FedAvg with the
    same rule for optimizers. Clipped party by party, where a model is cut does count.
    """
    parts = (run.site_parts, run.back) if run.algorithm == "split" else None
    if run.algorithm == "cyclic" or run.batches == "by_site" or (parts and parts[0] == "handed_on"):
        what = f"in turn {run.turn} {run.order} {run.interleave}"
    elif parts == ("averaged", "averaged") or (run.algorithm == "federated" and run.rule == "fedavg"):
        what = f"averaged {run.optimizer_state}"
    else:
        return None
    clip = run.training.clip
    if parts and clip and clip.scope == "party":
        what = f"{what} cut {run.cut} {run.labels}"
    settings = [specs.digest(run.model), specs.digest(run.training), run.site_weights, *run.augment]
    who = f"{run.participation} {sorted(run.join.items())} {sorted(run.leave.items())} {run.recorded}"
    return " ".join([run.task, what, who, *settings])
