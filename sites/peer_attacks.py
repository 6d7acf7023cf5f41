"""What a curious site makes of a federated average: it takes its own update out, and asks what is left.

A site knows the average that comes down, what it sent itself, and everyone's number of records. What it
subtracts leaves the mean of the others' models (isolation, after Nasr 2019), of two sites the other's own.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from coordinator.algorithms.training import floats
from coordinator.attacks.membership import loss_threshold
from coordinator.models.stages import Part
from coordinator.wire import SCORING, Heard
from sites.attacked import Attacked, Rows, logits, rows_of
from sites.leakage import membership
from sites.membership_attacks import ROLES, Targets


def peer_rows(attacked: Attacked, targets: Targets) -> Rows:
    """Tell the largest site's training from its test records by the average less a peer's own update."""
    if targets.peer is None or (model := others_model(attacked, targets.peer.site)) is None:
        return []
    own = targets.hospital
    members, rest = (
        loss_threshold(logits(model, own.inputs(role)), own.roles[role].labels.astype(float))
        for role in ROLES
    )
    target = f"membership at {own.site}, by {targets.peer.site}"
    return rows_of("isolated_average", target, "curious_site", membership(members, rest))


def others_model(attacked: Attacked, site: str) -> Part | None:
    """Give the mean of the other sites' models of the recorded round; None where nothing tells it."""
    run, index = attacked.run, attacked.run.sites.index(site)
    heard = [each for each in attacked.wire if each.kind == "Weights" and each.position[0] != SCORING]
    if run.algorithm != "federated" or run.rule not in ("fedavg", "fedprox") or not heard:
        return None
    round_ = max(each.position[1] for each in heard)
    passed = [each for each in heard if each.position[1] == round_]
    sent = _first_of(passed, run.sites)
    if index not in sent or len(sent) < 2 or not passed[-1].arrays:
        return None
    records = attacked.cohort.train
    weights = {each: float(records[each]) if run.site_weights == "records" else 1.0 for each in sent}
    total, own = sum(weights.values()), weights[index]
    model = attacked.first()
    pairs = zip(_tensors(passed[-1]), _tensors(sent[index]), strict=True)
    left = [(total * average - own * mine) / (total - own) for average, mine in pairs]
    with torch.no_grad():
        for value, tensor in zip(floats(model), left, strict=True):
            value.copy_(tensor)
    return model.eval()


def _first_of(passed: list[Heard], sites: Sequence[str]) -> dict[int, Heard]:
    """Give what each site sent up, by its number: what comes down afterwards bears the number 0."""
    found: dict[int, Heard] = {}
    for each in passed:
        if sites.index(each.site) == each.position[2]:
            found.setdefault(each.position[2], each)
    return found


def _tensors(heard: Heard) -> list[Tensor]:
    return [torch.from_numpy(array).double() for _, array in sorted(heard.arrays.items())]
