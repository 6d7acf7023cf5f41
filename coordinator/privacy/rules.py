"""Which defences a strategy can have, and why not others; read before anything runs, without torch."""

from collections.abc import Iterator
from typing import Final

from coordinator.config import Norms, Privacy
from coordinator.errors import ConfigError
from coordinator.models.catalog import has_batch_norm
from coordinator.participation import participants
from coordinator.specs import Run

LEAST_SITES: Final = 3
# what Opacus computes a gradient of each record of: linear layers, convolutions, group and layer norm
PER_RECORD_MODELS: Final = ("logistic_regression", "mlp", "cnn", "densenet121", "module")
# what a rule does with a site's own model
NOT_A_SUM: Final = {
    "scaffold": "scaffold keeps each site's control variate at the coordinator, read off that site's model",
    "fednova": "fednova divides each site's own change by that site's steps before it adds them up",
}
# defences of what leaves at the cut, and when each is on
AT_THE_CUT: Final = (
    "noise",
    "label_epsilon",
    "no_peek",
    "dropout",
    "cut_gradient",
    "activations",
    "detect_hijacking",
)


def check_defences(run: Run) -> None:
    """Refuse defences that mean nothing for a strategy, or do not hold together with its settings.

    Raises:
        ConfigError: the first problem, with its reason.
    """
    for key, problem in _problems(run):
        raise ConfigError(problem, key=f"strategies.{run.strategy}.{key}")


def _problems(run: Run) -> Iterator[tuple[str, str]]:
    yield from _of_the_cut(run)
    yield from _of_noise(run)
    yield from _of_labels(run)
    yield from _of_dp_sgd(run)
    yield from _of_budget(run)
    yield from _of_secure_aggregation(run)


def _of_the_cut(run: Run) -> Iterator[tuple[str, str]]:
    if run.algorithm == "split":
        return
    off = Privacy()
    for key in AT_THE_CUT:
        if getattr(run.privacy, key) != getattr(off, key):
            yield f"privacy.{key}", f"nothing leaves at a cut in '{run.preset}'; remove it"


def _of_noise(run: Run) -> Iterator[tuple[str, str]]:
    noise, key = run.privacy.noise, "privacy.noise"
    if noise is None:
        return
    if has_batch_norm(run.model):
        yield (
            key,
            "batch norm mixes the records of a batch before the cut, so that no clip bounds what one of "
            "them changes; choose norm: group",
        )
    clip = run.training.clip
    if clip and clip.scope == "global" and run.back != "joint":
        yield (
            key,
            "training.clip with scope: global tells the lengths of gradients, which no noise covers; set "
            "scope: party",
        )
    if (run.labels == "private") != (noise.gradient_clip is not None):
        yield (
            f"{key}.gradient_clip",
            "where labels are private a gradient goes up too: a second release, with a clip of its own"
            if run.labels == "private"
            else "where labels are shared no gradient goes up; remove it",
        )


def _of_labels(run: Run) -> Iterator[tuple[str, str]]:
    privacy = run.privacy
    if run.algorithm != "split":
        return
    if privacy.label_epsilon is not None and run.labels == "private":
        yield "privacy.label_epsilon", "labels stay at the site; remove it"
    if privacy.cut_gradient != "none" and run.labels == "shared":
        yield (
            "privacy.cut_gradient",
            "labels are shared: the coordinator has them, and no gradient goes up; remove it",
        )
    if privacy.cut_gradient != "none" and privacy.noise:
        yield "privacy.cut_gradient", "the gradient that goes up is under noise already; keep one of the two"


def _of_dp_sgd(run: Run) -> Iterator[tuple[str, str]]:
    key = "privacy.dp_sgd"
    if run.privacy.dp_sgd is None:
        return
    if run.algorithm == "local":
        yield key, f"nothing that '{run.preset}' trains leaves where it is trained; remove it"
    if run.algorithm == "split":
        yield from _of_parts(run)
    if run.rule == "scaffold":
        yield key, "scaffold corrects each step's gradient after it was clipped; choose another rule"
    if has_batch_norm(run.model):
        yield key, "batch norm has no gradient of one record; choose norm: group"
    if run.model.name not in PER_RECORD_MODELS:
        yield (
            key,
            f"'{run.model.name}' has layers whose gradient of one record Opacus does not compute; choose "
            f"one of {', '.join(PER_RECORD_MODELS)}",
        )
    if run.training.clip:
        yield key, "it shortens each patient's gradient itself; remove training.clip"
    if run.training.precision != "float32":
        yield key, "it is computed in float32; remove training.precision"
    if run.training.memory_format != "contiguous":
        yield key, "it is computed on contiguous tensors; remove training.memory_format"


def _of_parts(run: Run) -> Iterator[tuple[str, str]]:
    """Say what DP-SGD of a site's parts of a cut model needs beside it."""
    key, noise = "privacy.dp_sgd", run.privacy.noise
    if run.site_parts not in ("handed_on", "averaged"):
        yield (
            key,
            f"parts that are handed on or averaged are trained so, not {run.site_parts} ones; remove it",
        )
    told = noise is None or (run.labels == "shared" and run.privacy.label_epsilon is None)
    if told:
        yield (
            key,
            "what comes down to a site depends on all that its records told the coordinator before, so that "
            "noise on its steps alone covers nothing; add privacy.noise, and label_epsilon where labels are "
            "shared",
        )
    if noise and noise.mechanism != "gaussian":
        yield key, "its noise is gaussian, and adds up with that of activations only if that is too"
    if noise and run.privacy.dp_sgd and (noise.scale is None) != (run.privacy.dp_sgd.scale is None):
        yield key, "give both noises a scale, or neither"
    if run.privacy.no_peek is not None:
        yield key, "no_peek compares records with each other, so that no gradient is one record's; remove one"


def _of_budget(run: Run) -> Iterator[tuple[str, str]]:
    privacy, key = run.privacy, "privacy.budget"
    counted = [each for each in (privacy.noise, privacy.dp_sgd) if each]
    if privacy.budget and not (counted or privacy.label_epsilon is not None):
        yield key, "nothing that has an epsilon is on; add privacy.noise or privacy.dp_sgd, or remove it"
    if any(each.scale is None for each in counted) and privacy.budget is None:
        yield key, "the noise has no scale, and no budget to find it from; give one of the two"


def _of_secure_aggregation(run: Run) -> Iterator[tuple[str, str]]:
    key = "secure_aggregation"
    if not run.secure_aggregation:
        return
    averaged = run.algorithm == "federated" or (run.algorithm == "split" and run.site_parts == "averaged")
    if not averaged:
        yield key, f"'{run.preset}' averages nothing that sites send; remove it"
    if run.rule in NOT_A_SUM:
        yield key, f"{NOT_A_SUM[run.rule]}; choose another rule"
    if run.aggregate != "mean":
        yield (
            key,
            f"a {run.aggregate} compares single models, and of a secure sum nobody sees one; remove one",
        )
    if run.norms != Norms():
        yield key, "norms measures each site's update, and of a secure sum nobody sees one; remove one"
    if run.on_loss.policy == "continue" or run.away:
        yield (
            key,
            "a round that is repeated without a lost site gives a second sum, and the two differ by that "
            "site's own model; set on_loss.policy: wait",
        )
    rounds = range(run.training.rounds)
    if averaged and min(len(participants(run, each, len(run.sites))) for each in rounds) < LEAST_SITES:
        yield (
            key,
            f"a sum over fewer than {LEAST_SITES} sites tells one of them the other's part; let at least "
            f"{LEAST_SITES} take part in every round",
        )
