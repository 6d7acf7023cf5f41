"""Holds membership inference against a run's final model: training against test records of one site."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from coordinator.algorithms.building import builders_of
from coordinator.algorithms.cohort import Cohort
from coordinator.attacks.membership import lira_offline, loss_threshold, shadow_models
from coordinator.models.stages import build
from coordinator.specs import Run
from sites.attacked import LEAST, Attacked, Hospital, Rows, largest, logits, rows_of
from sites.joined import Joined
from sites.leakage import membership

Floats = NDArray[np.float64]
ROLES: Final = ("train", "test")  # members, and others


@dataclass(frozen=True)
class Targets:
    """The attacked records of one site, and what shadow models make of them, (shadows, n) by role."""

    hospital: Hospital
    shadows: dict[str, Floats]


def targets_of(run: Run, statistics: dict[str, Any], hospitals: list[Hospital]) -> Targets:
    """Take the site with most training records, and train shadow models on all sites' auxiliary records.

    One set serves every strategy of a task and seed: a shadow is trained the ordinary way, with none of them.
    """
    hospital = hospitals[largest(hospitals)]
    labels = np.concatenate([each.roles["auxiliary"].labels for each in hospitals])
    if len(labels) < LEAST:
        return Targets(hospital, {})
    inputs = Joined([each.roles["auxiliary"].inputs for each in hospitals])
    builders = builders_of(run, Cohort.of(statistics, run.sites).shape)
    mixed = run.training.precision == "bf16_mixed"
    models = shadow_models(
        lambda seed: build(builders, seed, mixed=mixed),
        inputs.__getitem__,
        torch.from_numpy(labels),
        run.training,
        seed=run.seed,
    )
    return Targets(
        hospital,
        {role: np.stack([logits(model, hospital.inputs(role)) for model in models]) for role in ROLES},
    )


def membership_rows(attacked: Attacked, targets: Targets) -> Rows:
    """Tell training from test records by the final model's scores, which whoever may ask it has."""
    if not attacked.has_model(targets.hospital.site):
        return []
    hospital, model = targets.hospital, attacked.model(targets.hospital.site)
    scores = {role: logits(model, hospital.inputs(role)) for role in ROLES}
    labels = {role: hospital.roles[role].labels.astype(np.float64) for role in ROLES}
    found = {"loss_threshold": [loss_threshold(scores[role], labels[role]) for role in ROLES]}
    if targets.shadows:
        found["lira_offline"] = [
            lira_offline(scores[role], labels[role], targets.shadows[role]) for role in ROLES
        ]
    rows: Rows = []
    for name, (members, others) in found.items():
        rows += rows_of(name, f"membership at {hospital.site}", "outsider", membership(members, others))
    return rows
