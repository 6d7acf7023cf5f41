"""What a study means, job by job: the specs, the files and the code each job depends on."""

from pathlib import Path
from typing import Any

from coordinator import specs
from coordinator.config import Site, Study, Task
from coordinator.errors import ConfigError
from coordinator.models.catalog import entry
from coordinator.names import nearest
from coordinator.sources import used_by
from coordinator.specs import POOLED, Agreement, Deal, Evaluation, Preparation, Run
from coordinator.strategies import axes_of, cut_of, training_of
from coordinator.study import data_root

# source -> the loader's module, what it gives, and whether its records are dealt to sites first
SOURCES: dict[str, tuple[str, str, bool]] = {
    "breast_cancer": ("sites.datasets.breast_cancer", "table", True),
    "chest_xray_synthetic": ("sites.datasets.chest_xray_synthetic", "image", True),
    "heart": ("sites.datasets.heart", "table", False),
}
# the programs of a gang, and what each does for a spec of that kind
PROGRAMS = ("coordinator.__main__", "coordinator.server.serve", "sites.__main__", "sites.client")
AGREEING = (*PROGRAMS, "coordinator.server.agreeing", "sites.agreeing")
TRAINING = (*PROGRAMS, "coordinator.server.training", "sites.training")


def plan(study: Study, sites: dict[str, Site]) -> dict[str, Any]:
    """Resolve a study into specs, and write them.

    Raises:
        ConfigError: a name is unknown or a combination impossible.
    """
    preparations = {name: _preparations(study, sites, name) for name in study.tasks}
    runs = runs_of(study, {task: _folders(found) for task, found in preparations.items()})
    return {
        "study": study.name,
        "tasks": {name: _task(study, sites, name, preparations[name]) for name in study.tasks},
        "runs": {key: _run(run) for key, run in runs.items()},
        "evaluation": _evaluation(study, sites, runs),
    }


def runs_of(study: Study, prepared: dict[str, dict[str, str]]) -> dict[str, Run]:
    """List a study's runs by ``task/strategy/seed``.

    Raises:
        ConfigError: an unknown name, an impossible combination, or a strategy without a task.
    """
    check(study)
    return {
        f"{task}/{label}/{seed}": _resolve(study, task, label, seed, prepared[task])
        for task in study.tasks
        for label, strategy in study.strategies.items()
        if strategy.tasks is None or task in strategy.tasks
        for seed in study.seeds
    }


def check(study: Study) -> None:
    """Check what no single key can show: names, and keys that do not go together.

    Raises:
        ConfigError: the first problem found.
    """
    for name, task in study.tasks.items():
        _check_task(name, task)
    for label, strategy in study.strategies.items():
        axes = axes_of(label, strategy)
        for task in strategy.tasks or ():
            if task not in study.tasks:
                raise ConfigError(f"strategies.{label}.tasks: unknown task '{task}'; {nearest(task, study.tasks)}")
        if axes["preset"] == "centralized" and not study.allow_pooling:
            raise ConfigError(
                f"strategies.{label}: centralized training pools the sites' records and "
                "allow_pooling is false; set allow_pooling: true, or remove the strategy"
            )
    if study.reference not in study.strategies:
        raise ConfigError(f"reference: no strategy '{study.reference}'; {nearest(study.reference, study.strategies)}")
    if study.release != "predictions" or not study.allow_pooling:
        raise ConfigError(
            "evaluation: 'scores' compares record-level scores outside the sites and needs "
            "release: predictions and allow_pooling: true"
        )


def _check_task(name: str, task: Task) -> None:
    source = task.data.source
    if source not in SOURCES:
        raise ConfigError(f"tasks.{name}.data.source: unknown source '{source}'; {nearest(source, SOURCES)}")
    gives, reads = SOURCES[source][1], entry(task.model).reads
    if gives != reads:
        raise ConfigError(f"tasks.{name}.model: '{task.model.name}' reads a {reads}, '{source}' gives a {gives}")
    if len(set(task.sites)) != len(task.sites):
        raise ConfigError(f"tasks.{name}.sites: a site is named twice; name each once")
    if POOLED in task.sites:
        raise ConfigError(f"tasks.{name}.sites: '{POOLED}' is the centralized arm's name; rename the site")


def _preparations(study: Study, sites: dict[str, Site], name: str) -> dict[str, tuple[str, Preparation]]:
    task = study.tasks[name]
    dealt = _deal(study, sites, task)
    found = {}
    for site in task.sites:
        spec = Preparation(
            site=sites[site], data=task.data, reads=entry(task.model).reads, split=task.split,
            split_seed=study.split_seed, min_patients=study.min_patients,
        )  # fmt: skip
        digest = specs.digest(spec)[:12] if dealt is None else f"{specs.digest(spec)[:6]}{specs.digest(dealt)[:6]}"
        found[site] = (f"prepared/{task.data.source}-{site}-{digest}", spec)
    return found


def _deal(study: Study, sites: dict[str, Site], task: Task) -> Deal | None:
    if not SOURCES[task.data.source][2]:
        return None
    return Deal(data=task.data, sites=tuple(sites[name] for name in task.sites), seed=study.split_seed)


def _folders(preparations: dict[str, tuple[str, Preparation]]) -> dict[str, str]:
    return {site: folder for site, (folder, _) in preparations.items()}


def _task(study: Study, sites: dict[str, Site], name: str, preparations: dict[str, tuple[str, Preparation]]) -> dict[str, Any]:
    task, folders = study.tasks[name], _folders(preparations)
    loader = SOURCES[task.data.source][0]
    deal = _deal(study, sites, task)
    shared = Path("prepared/specs")
    agreements = {
        str(seed): Agreement(
            study=study.name, task=name, seed=seed, sites=task.sites, prepared=folders,
            validation=task.split.validation, missing=task.data.missing, reads=entry(task.model).reads,
            min_cell=study.min_cell, threads=study.threads_per_process,
        )
        for seed in study.seeds
    }  # fmt: skip
    return {
        "sites": list(task.sites),
        "deal": deal and {
            "folder": f"prepared/{task.data.source}-dealt-{specs.digest(deal)[:12]}",
            "spec": str(specs.write(deal, shared)),
            "code": used_by(["sites.__main__", "sites.deal", loader]),
        },
        "prepare": {
            site: {
                "folder": folder,
                "spec": str(specs.write(spec, shared)),
                "input": None if deal else str(_natural_file(study, sites[site], name, task)),
                "code": used_by(["sites.__main__", "sites.prepare", loader]),
            }
            for site, (folder, spec) in preparations.items()
        },
        "agree": {
            seed: {
                "spec": str(specs.write(spec, Path("state", study.name, "specs"))),
                "code": used_by(AGREEING),
            }
            for seed, spec in agreements.items()
        },
    }  # fmt: skip


def _natural_file(study: Study, site: Site, name: str, task: Task) -> Path:
    source = task.data.source
    if source not in site.files:
        raise ConfigError(
            f"tasks.{name}: site '{site.name}' has no file for source '{source}'; "
            f"add `files: {{{source}: path}}` to config/sites/{site.name}.yaml"
        )
    path = (data_root(study) / site.files[source]).resolve()
    if not path.exists():
        raise ConfigError(
            f"{path}: the file of site '{site.name}' is missing; config/studies/README.md says "
            f"where to get the '{source}' data, and data_root where Suture looks for it"
        )
    return path


def _resolve(study: Study, name: str, label: str, seed: int, prepared: dict[str, str]) -> Run:
    task, strategy = study.tasks[name], study.strategies[label]
    axes = axes_of(label, strategy)
    return Run(
        study=study.name, task=name, strategy=label, seed=seed, sites=task.sites,
        parties=(POOLED,) if axes["preset"] == "centralized" else task.sites,
        prepared=prepared, **axes, site_weights=strategy.site_weights,
        cut=cut_of(task, label, strategy, axes), model=task.model, training=training_of(task, strategy),
        validation=task.split.validation, missing=task.data.missing, reads=entry(task.model).reads,
        release=study.release, threads=study.threads_per_process,
    )  # fmt: skip


def _run(run: Run) -> dict[str, Any]:
    modules = [*TRAINING, f"coordinator.algorithms.{run.algorithm}", entry(run.model).module]
    return {
        "spec": str(specs.write(run, Path("state", run.study, "specs"))),
        "parties": list(run.parties),
        "sites": list(run.sites),
        "code": used_by(modules),
    }


def _evaluation(study: Study, sites: dict[str, Site], runs: dict[str, Run]) -> dict[str, Any]:
    spec = Evaluation(study=study, sites=sites, runs=runs, identical=identical(runs))
    return {
        "spec": str(specs.write(spec, Path("state", study.name, "specs"))),
        "code": used_by(["coordinator.__main__", "coordinator.comparison.evaluate"]),
    }


def identical(runs: dict[str, Run]) -> dict[str, str]:
    """Pair each run's strategy with an earlier one that equals it by construction.

    Vanilla and U-shaped split learning do the same arithmetic in the same order on the same list of
    batches, whatever the cut; so do centralized training on that list, and one site's own.
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
