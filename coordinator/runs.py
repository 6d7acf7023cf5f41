"""What each run of a study is: a strategy on a task with a seed, and which runs compute the same."""

from pathlib import Path

from coordinator import specs
from coordinator.attendance import with_recorded
from coordinator.config import Device, OnLoss, Privacy, Site, Strategy, Study, Task, Training
from coordinator.errors import ConfigError
from coordinator.fitting_rules import check_adapting, check_fitting, check_grids, check_participation
from coordinator.loaders import classes_of
from coordinator.poison_rules import check_poison
from coordinator.presets import Axes
from coordinator.privacy.rules import check_defences
from coordinator.protocol.keys import COORDINATOR
from coordinator.specs import POOLED, Run
from coordinator.strategies import axes_of, check_optimizer, cut_of, training_of


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


def _resolve(
    study: Study, sites: dict[str, Site], name: str, label: str, seed: int, prepared: dict[str, str]
) -> Run:
    task, strategy = study.tasks[name], study.strategies[label]
    axes, training = axes_of(label, strategy), training_of(task, strategy)
    check_optimizer(label, axes, training)
    check_fitting(label, axes, training)
    check_adapting(label, axes, strategy)
    check_participation(label, axes, strategy, training, task.sites)
    check_poison(label, axes, strategy, tuple(s for s in task.sites if s not in task.split.held_out))
    share = strategy.participation
    run = Run(
        study=study.name, task=name, strategy=label, seed=seed, sites=task.sites,
        parties=(POOLED,) if axes["preset"] == "centralized" else task.sites,
        prepared=prepared, **axes, site_weights=strategy.site_weights, adapt=strategy.adapt,
        norms=strategy.norms,
        secure_aggregation=strategy.secure_aggregation, privacy=strategy.privacy,
        cut=cut_of(study, name, label, axes), model=task.model, training=training,
        classes=classes_of(task.data),
        allow_models=_allowed(task, sites),
        participation=1.0 if isinstance(share, str) else share, join=strategy.join, leave=strategy.leave,
        validation=task.split.validation, min_cell=study.min_cell,
        missing=task.data.missing, augment=task.data.augment,
        release=study.release, subgroups=study.subgroups, record_round=_recorded_round(study, training),
        threads=study.threads_per_process, devices=_devices(study, task, sites),
        on_loss=_on_loss(study, axes, strategy, task.sites), commit_steps=study.commit_steps,
        gate=study.gate,
    )  # fmt: skip
    if isinstance(share, str):
        run = with_recorded(run, Path(share).expanduser())
    check_defences(run)
    return run


def _on_loss(study: Study, axes: Axes, strategy: Strategy, sites: tuple[str, ...]) -> OnLoss:
    """Let a lost party be waited for where nobody could go on: it trains alone, or a record is repeated.

    Raises:
        ConfigError: more sites are to be left than there are.
    """
    on_loss = study.on_loss
    if on_loss.policy != "continue":
        return on_loss
    if (on_loss.at_least or 0) > len(sites):
        raise ConfigError(
            f"{on_loss.at_least} sites are to go on, and a task has {len(sites)}; lower it",
            key="on_loss.at_least",
        )
    if axes["algorithm"] == "local" or isinstance(strategy.participation, str):
        return on_loss.model_copy(update={"policy": "wait", "at_least": None})
    return on_loss


def _devices(study: Study, task: Task, sites: dict[str, Site]) -> dict[str, Device]:
    """Name the device of every party that does not compute on the CPU."""
    own = {site: sites[site].device for site in task.sites if site in sites}
    parties = (COORDINATOR, POOLED, *task.sites)
    return {party: device for party in parties if (device := own.get(party) or study.device) != "cpu"}


def _allowed(task: Task, sites: dict[str, Site]) -> dict[str, tuple[str, ...]]:
    """Name the networks of the study's own that each site lets run."""
    return {site: sites[site].allow_models for site in task.sites} if task.model.path else {}


def _recorded_round(study: Study, training: Training) -> int | None:
    """Number the round that the coordinator keeps, from 0: the study's, at most the last."""
    if not study.record_wire:
        return None
    return min(study.record_round or training.rounds, training.rounds) - 1


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
    same rule for optimizers. Clipped party by party, where a model is cut does count. Where some parties have
    a GPU and others none, who computes what counts, and nothing is the same; nor is it with a defence.
    """
    if run.secure_aggregation or run.privacy != Privacy():
        return None
    if len({run.devices.get(party, "cpu") for party in (COORDINATOR, POOLED, *run.sites)}) > 1:
        return None
    parts = (run.site_parts, run.back) if run.algorithm == "split" else None
    if run.algorithm == "cyclic" or run.batches == "by_site" or (parts and parts[0] == "handed_on"):
        what = f"in turn {run.turn} {run.order} {run.interleave}"
    elif parts == ("averaged", "averaged") or (run.algorithm == "federated" and run.rule == "fedavg"):
        what = f"averaged {run.optimizer_state} {run.aggregate} {run.trimmed_share}"
    else:
        return None
    if run.norms.action != "report":  # what it changes depends on who measures which tensors
        return None
    clip = run.training.clip
    if parts and clip and clip.scope == "party":
        what = f"{what} cut {run.cut} {run.labels}"
    if run.adapt:  # of what a site holds
        what = f"{what} adapted {run.adapt} {run.algorithm} {run.cut} {run.labels}"
    settings = [specs.digest(run.model), specs.digest(run.training), run.site_weights, *run.augment]
    who = f"{run.participation} {sorted(run.join.items())} {sorted(run.leave.items())}"
    who = f"{who} {run.recorded} {run.away}"
    return " ".join([run.task, what, who, *settings])
