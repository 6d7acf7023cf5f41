"""Holds membership inference against a run's final model: training against test records of one site.

An outsider may ask the model for scores and has auxiliary records. A curious site may ask it too, from what
it holds and the scoring that it is given, and has its own records.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from coordinator.algorithms.building import arithmetic_of, builders_of
from coordinator.algorithms.cohort import Cohort
from coordinator.algorithms.training import train_batch
from coordinator.attacks.effort import Effort
from coordinator.attacks.membership import (
    Step,
    half_of,
    lira_offline,
    loss_threshold,
    shadow_attack,
    shadow_models,
)
from coordinator.draws import key
from coordinator.models.stages import build
from coordinator.specs import POOLED, Run
from sites.attacked import LEAST, Attacked, Hospital, Rows, largest, logits, rows_of
from sites.joined import Joined
from sites.leakage import membership
from sites.records import Records

Floats = NDArray[np.float64]
ROLES: Final = ("train", "test")  # members, and others
PEERS: Final = 2  # of how many shadow models an outsider has, a curious site has one


@dataclass(frozen=True)
class Shadows:
    """What shadow models make of the attacked records, (shadows, n) by role, and of those they are from."""

    attacked: dict[str, Floats]
    own: Floats  # (shadows, m)
    labels: Floats  # (m,)
    trained_on: NDArray[np.bool_]  # (shadows, m)


@dataclass(frozen=True)
class Targets:
    """The attacked records of one site; shadow models of an outsider, and of a curious site."""

    hospital: Hospital
    shadows: Shadows | None
    peer: Hospital | None = None
    peer_shadows: Shadows | None = None


def targets_of(
    run: Run, statistics: dict[str, Any], hospitals: list[Hospital], effort: Effort, step: Step = train_batch
) -> Targets:
    """Take the site with most training records, and train shadow models on all sites' auxiliary records.

    The curious site is the one with most records among the others; its shadows learn from its training
    records. One set serves every strategy of a task and seed that was trained by the same kind of `step`.
    """
    hospital = hospitals[largest(hospitals)]
    others = [each for each in hospitals if each is not hospital]
    peer = others[largest(others)] if others else None
    auxiliary = [each.roles["auxiliary"] for each in hospitals]
    few = max(2, effort.shadows // PEERS)
    return Targets(
        hospital,
        _shadows(run, statistics, hospital, auxiliary, effort.shadows, step),
        peer,
        _shadows(run, statistics, hospital, [peer.roles["train"]], few, step) if peer else None,
    )


def _shadows(
    run: Run,
    statistics: dict[str, Any],
    hospital: Hospital,
    own: Sequence[Records],
    count: int,
    step: Step,
) -> Shadows | None:
    labels = np.concatenate([each.labels for each in own])
    if len(labels) < LEAST:
        return None
    inputs = Joined([each.inputs for each in own])
    builders = builders_of(run, Cohort.of(statistics, run.sites).shape)
    how, seed = arithmetic_of(run), key(run.seed, own[0].site, len(own)) >> 1
    models = shadow_models(
        lambda number: build(builders, number, None, how), inputs.__getitem__, torch.from_numpy(labels),
        run.training, seed=seed, shadows=count, step=step,
    )  # fmt: skip
    trained_on = np.zeros((count, len(labels)), dtype=bool)
    for number in range(count):
        trained_on[number, half_of(len(labels), seed, number)] = True
    return Shadows(
        {role: np.stack([logits(model, hospital.inputs(role)) for model in models]) for role in ROLES},
        np.stack([logits(model, inputs) for model in models]),
        labels.astype(np.float64),
        trained_on,
    )


def membership_rows(attacked: Attacked, targets: Targets) -> Rows:
    """Tell training from test records by the final model's scores, which whoever may ask it has."""
    site = targets.hospital.site
    if not attacked.has_model(site):
        return []
    found = _scores(attacked, site, targets.hospital, targets.shadows)
    rows = _rows(found, f"membership at {site}", "outsider")
    peer, run = targets.peer, attacked.run
    alone = run.preset == "local" or run.parties == (POOLED,)  # no site holds or asks another's model
    if peer and not alone and attacked.has_model(peer.site):
        found = _scores(attacked, peer.site, targets.hospital, targets.peer_shadows)
        rows += _rows(found, f"membership at {site}, by {peer.site}", "curious_site")
    return rows


def _scores(
    attacked: Attacked, asked: str, hospital: Hospital, shadows: Shadows | None
) -> dict[str, list[Floats]]:
    """Score members and others by each attack, with the model as a site has it."""
    model = attacked.model(asked)
    scores = {role: logits(model, hospital.inputs(role)) for role in ROLES}
    labels = {role: hospital.roles[role].labels.astype(np.float64) for role in ROLES}
    found = {"loss_threshold": [loss_threshold(scores[role], labels[role]) for role in ROLES]}
    if shadows:
        found["lira_offline"] = [
            lira_offline(scores[role], labels[role], shadows.attacked[role]) for role in ROLES
        ]
        found["shadow"] = [
            shadow_attack(scores[role], labels[role], shadows.own, shadows.labels, shadows.trained_on)
            for role in ROLES
        ]
    return found


def _rows(found: dict[str, list[Floats]], target: str, who: str) -> Rows:
    return [
        row
        for name, (members, others) in found.items()
        for row in rows_of(name, target, who, membership(members, others))
    ]
