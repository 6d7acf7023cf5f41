"""What each defence of a run claims, and what it does not cover."""

from collections.abc import Iterator
from typing import NamedTuple

from coordinator.specs import Run

EVERYWHERE = (
    "other runs on the same patients (seeds, strategies, which a policy's budget adds up; predictions), what "
    "the agreement on statistics tells, losses and ranks of validation that a site reports, and its estimates"
)
PARTS = {
    "handed_on": "the site's layers, which other sites get",
    "averaged": "the site's layers, which the coordinator averages",
    "synchronous": "the gradients of the site's layers, which the coordinator adds up",
}


class Claim(NamedTuple):
    """A defence, what it holds against, and what it leaves open."""

    defence: str
    covers: str
    not_covered: str


def claims_of(run: Run) -> list[Claim]:
    """List the claims of a run's defences."""
    return list(_claims(run))


def _claims(run: Run) -> Iterator[Claim]:
    privacy = run.privacy
    if noise := privacy.noise:
        what = "activations, and the gradient sent up" if noise.gradient_clip else "activations"
        yield Claim(
            f"{noise.mechanism} noise", f"{what}: differentially private by patient", _beside_noise(run)
        )
    if privacy.label_epsilon is not None:
        yield Claim(
            "randomized response",
            "labels: each record's is deniable",
            f"the counts of outcomes; {EVERYWHERE}",
        )
    if privacy.dp_sgd:
        cut = run.algorithm == "split"
        covers = (
            "the site's layers: in the same account" if cut else "models that leave: differentially private"
        )
        yield Claim("DP-SGD", f"{covers} by patient{'' if cut else ', added or removed'}", EVERYWHERE)
    if run.secure_aggregation:
        yield Claim(
            "secure aggregation", "a site's own tensors, from the coordinator", "what their sum tells"
        )
    yield from _without_guarantee(run)


def _without_guarantee(run: Run) -> Iterator[Claim]:
    privacy, none = run.privacy, "no guarantee: what it hides is measured, not proven"
    named = {
        "NoPeek": privacy.no_peek,
        "dropout at the cut": privacy.dropout,
        privacy.cut_gradient: privacy.cut_gradient != "none",
        privacy.activations: privacy.activations != "float32",
        "hijacking detection": privacy.detect_hijacking,
    }
    for name, on in named.items():
        if on:
            yield Claim(name, "what is sent is less like what is hidden", none)


def _beside_noise(run: Run) -> str:
    open_ = [EVERYWHERE]
    if run.labels == "shared" and run.privacy.label_epsilon is None:
        open_.insert(0, "labels, which are sent")
    if run.site_parts in PARTS and not (run.secure_aggregation or run.privacy.dp_sgd):
        open_.insert(0, PARTS[run.site_parts])
    return "; ".join(open_)
