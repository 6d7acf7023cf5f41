"""Which keys of `training` do not go together, with each other or with a strategy."""

from coordinator.config import Strategy, Training
from coordinator.errors import ConfigError
from coordinator.names import nearest
from coordinator.presets import PRESETS, Axes


def check_fitting(label: str, axes: Axes, training: Training) -> None:
    """Refuse training keys that mean nothing for a strategy.

    Raises:
        ConfigError: the first problem, with its reason.
    """
    if problem := _of_rounds(training) or _of_clipping(axes, training):
        raise ConfigError(problem, key=f"strategies.{label}")


def check_grids(task: str, sizes: dict[str, int]) -> None:
    """Refuse grids of different sizes in one task: who searches more finds more.

    Args:
        task: its name.
        sizes: learning rates of each strategy, by label.

    Raises:
        ConfigError: naming a strategy whose grid has another size than the first one's.
    """
    first = next(iter(sizes), "")
    for label, size in sizes.items():
        if size != sizes[first]:
            raise ConfigError(
                f"tries {size} learning rates on '{task}' and '{first}' {sizes[first]}; give every strategy "
                "of a task as many, so that none searches more than another",
                key=f"strategies.{label}.training.learning_rates",
            )


def check_participation(
    label: str, axes: Axes, strategy: Strategy, training: Training, sites: tuple[str, ...]
) -> None:
    """Refuse who joins, leaves or makes other epochs where it names nobody or means nothing.

    Raises:
        ConfigError: the first problem, with its reason.
    """
    named = {
        "join": strategy.join,
        "leave": strategy.leave,
        "training.epochs_by_site": training.epochs_by_site,
    }
    for key, by_site in named.items():
        for site in by_site:
            if site not in sites:
                raise ConfigError(f"no site '{site}' in the task; {nearest(site, sites)}",
                                  key=f"strategies.{label}.{key}")  # fmt: skip
    if problem := _of_epochs(axes, training) or _of_coming(axes, strategy, training, sites):
        raise ConfigError(problem, key=f"strategies.{label}")


def check_adapting(label: str, axes: Axes, strategy: Strategy) -> None:
    """Refuse to adapt what is a site's own already or nobody's, or under a label that does not tell.

    Raises:
        ConfigError: with the reason.
    """
    if not strategy.adapt:
        return
    if axes["algorithm"] == "local":
        own = {
            "local": "a site that trains alone has a model of its own already; give it more rounds",
            "centralized": "the pool's model is not at the sites, so that none can adapt it",
        }
        raise ConfigError(f"{own[axes['preset']]}; remove adapt", key=f"strategies.{label}.adapt")
    if label in PRESETS:
        raise ConfigError(
            f"'{label}' names the strategy as its source has it, without adapting; give this row a label of "
            f"its own, as {label}_adapted: {{preset: {label}, adapt: {strategy.adapt}}}",
            key=f"strategies.{label}.adapt",
        )


def _of_epochs(axes: Axes, training: Training) -> str | None:
    joint = axes.get("back") == "joint" or axes.get("batches") == "joint"
    if training.epochs_by_site and joint:
        return (
            "a joint step takes of every site's records in proportion, so that all pass over theirs equally "
            "often; remove training.epochs_by_site"
        )
    return None


def _of_coming(axes: Axes, strategy: Strategy, training: Training, sites: tuple[str, ...]) -> str | None:
    if not strategy.join and not strategy.leave:
        return None
    if axes["preset"] == "local" or axes.get("batches") == "shuffled":
        return (
            f"'{axes['preset']}' has no rounds that sites share, and so none to join or leave; "
            "remove join and leave"
        )
    if isinstance(strategy.participation, str):
        return "a recorded participation says who was there; remove join and leave"
    first, end = strategy.join, strategy.leave
    for round_ in range(training.rounds):
        if not any(first.get(s, 0) <= round_ < end.get(s, training.rounds) for s in sites):
            return f"by join and leave no site is there in round {round_} (of {training.rounds}, from 0)"
    return None


def _of_rounds(training: Training) -> str | None:
    if training.warm_up >= training.rounds:
        return (
            f"a warm-up of {training.warm_up} rounds leaves none of {training.rounds} at the full learning "
            "rate; shorten training.warm_up, or raise rounds"
        )
    return None


def _of_clipping(axes: Axes, training: Training) -> str | None:
    if training.clip is None:
        return None
    if axes.get("rule") == "scaffold":
        return (
            "scaffold reads each site's mean gradient off the distance its model moved, and clipped steps do "
            "not add up to it; remove training.clip"
        )
    joint_fronts = axes.get("back") == "joint" and axes["site_parts"] == "private"
    if joint_fronts and training.clip.scope == "global":
        return (
            "in a joint step with private site parts there is a front per site and so no whole model whose "
            "gradient has a length; set training.clip.scope: party"
        )
    return None
