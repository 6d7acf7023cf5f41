"""Which of a run's defences each attack was trained against; needs no torch."""

from collections.abc import Iterator
from typing import Final

from coordinator.config import Privacy
from coordinator.specs import Run

NONE: Final = "no defence"  # the run has some, and the attack knows of none of them
KNOWING: Final = ", knowing "
SECURE: Final = "secure aggregation"
RANDOMIZED: Final = "randomized response"
FRONT_IS_KNOWN: Final = ("decoder", "white_box")  # as training left it, whatever it was trained by
TRAINED_SO: Final = (*FRONT_IS_KNOWN, "pseudo_client", "hijacking")
ON_ACTIVATIONS: Final = (*TRAINED_SO, "unsplit", "frozen_front")
ON_GRADIENTS: Final = ("simulated_gradients",)
TRAINED_ALIKE: Final = ("lira_offline", "shadow")  # their shadow models
ON_SENT_LABELS: Final = ("randomized_labels",)
ON_SUMS: Final = ("tableak", "inverting_gradients", "dlg")


def defences_known(run: Run, attack: str) -> str:
    """Name the defences that an attack has in its own training or search; empty where the run has none."""
    every = list(_all(run))
    if not every:
        return ""
    privacy, found = run.privacy, []
    if attack in ON_ACTIVATIONS:
        found += _at_the_cut(privacy)
    if attack in TRAINED_SO and privacy.no_peek:
        found.append("NoPeek")
    if attack in FRONT_IS_KNOWN and privacy.dp_sgd:
        found.append("DP-SGD")
    if attack in TRAINED_ALIKE and whole_models_are_private(run):
        found.append("DP-SGD")
    if attack in ON_GRADIENTS:
        found += [*_at_the_cut(privacy), *_on_gradients(privacy)]
    if attack in ON_SENT_LABELS:
        found += [
            *_at_the_cut(privacy),
            RANDOMIZED,
        ]  # it learns from what was sent, whatever that went through
    if attack in ON_SUMS and run.secure_aggregation:
        found.append(SECURE)
    if attack in ("sent", "distance_correlation"):  # what is measured as it is
        return ""
    return ", ".join(found) or NONE


def whole_models_are_private(run: Run) -> bool:
    """Say whether whole models are trained by DP-SGD, not parts of a cut one."""
    return run.privacy.dp_sgd is not None and run.algorithm != "split"


def knowing(target: str, run: Run, attack: str) -> str:
    """Say behind an attack's target which of the run's defences it knew, where the run has any."""
    known = defences_known(run, attack)
    return f"{target}{KNOWING}{known}" if known else target


def knew_none(target: str) -> bool:
    """Say whether it was made on a defended run by an adversary that knew of no defence."""
    return target.endswith(KNOWING + NONE)


def _all(run: Run) -> Iterator[str]:
    privacy = run.privacy
    yield from _at_the_cut(privacy)
    yield from _on_gradients(privacy)
    named = {
        "NoPeek": privacy.no_peek,
        "DP-SGD": privacy.dp_sgd,
        RANDOMIZED: privacy.label_epsilon,
        "hijacking detection": privacy.detect_hijacking,
        SECURE: run.secure_aggregation,
    }
    yield from (name for name, on in named.items() if on)


def _at_the_cut(privacy: Privacy) -> list[str]:
    """Name what changes activations on their way out."""
    found = [f"{privacy.noise.mechanism} noise"] if privacy.noise else []
    found += ["dropout"] if privacy.dropout else []
    return found + ([privacy.activations] if privacy.activations != "float32" else [])


def _on_gradients(privacy: Privacy) -> list[str]:
    """Name what changes the gradient that goes up where labels stay."""
    if privacy.cut_gradient != "none":
        return [privacy.cut_gradient]
    return ["noise on gradients"] if privacy.noise and privacy.noise.gradient_clip else []
