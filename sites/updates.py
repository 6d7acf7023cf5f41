"""A site's recorded update in a federated run: the model that went down, what came up, the steps between."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from coordinator.algorithms.class_weights import agreed_weights
from coordinator.algorithms.training import Weights, floats
from coordinator.attacks.local_round import Step, Update, gradient_of
from coordinator.models.stages import Part
from coordinator.rates import rate_at
from coordinator.schedule import site_round
from coordinator.wire import SCORING, Heard
from sites.attacked import Attacked, Hospital

Floats = NDArray[np.float32]
UNATTACKED = ("scaffold", "fedbn")  # corrections, and layers that stay, are not in an update


def recorded_update(attacked: Attacked, site: int) -> Update | None:
    """Give a site's update of the recorded round; None where there is none that these attacks read."""
    run = attacked.run
    weights = [heard for heard in attacked.wire if heard.kind == "Weights" and heard.position[0] != SCORING]
    if run.algorithm != "federated" or run.rule in UNATTACKED or not weights:
        return None
    round_, trial = max(heard.position[1] for heard in weights), weights[0].position[0]
    sent = [heard for heard in weights if heard.position[1:3] == (round_, site)]
    model = model_before(attacked, weights, round_)
    if not sent or sent[0].site != run.sites[site] or model is None:
        return None
    steps = tuple(
        Step(torch.from_numpy(batch.records), (run.seed, "forward", *batch.draw))
        for batch in site_round(run, trial, round_, site, attacked.cohort.train[site])
    )
    after = [torch.from_numpy(array) for _, array in sorted(sent[0].arrays.items())]
    change = tuple(b - a.detach() for a, b in zip(model.parameters(), after, strict=True))
    rate = rate_at(run.training, run.training.learning_rates[trial], round_)
    return Update(model, change, steps, run.training, rate, class_weights(attacked))


def model_before(attacked: Attacked, weights: list[Heard], round_: int) -> Part | None:
    """Give the model that went down before a round; None where more than its parameters travels."""
    model = attacked.first()
    values = floats(model)
    if len(values) != len(list(model.parameters())):
        return None
    went_down = [heard for heard in weights if heard.position[1] == round_ - 1]
    if went_down:
        with torch.no_grad():
            for value, (_, array) in zip(values, sorted(went_down[-1].arrays.items()), strict=True):
                value.copy_(torch.from_numpy(array))
    return model


def class_weights(attacked: Attacked) -> Weights | None:
    """Give the classes' weights, which all parties know."""
    if attacked.run.training.class_weights == "none":
        return None
    return agreed_weights(attacked.run, attacked.cohort.train, attacked.cohort.events)


def one_gradient(attacked: Attacked, hospital: Hospital, records: NDArray[np.int64]) -> tuple[Update, Tensor]:
    """Give the first model's gradient on a few records, as one plain step would send it, and their labels."""
    train = hospital.roles["train"]
    labels = torch.from_numpy(train.labels[records])
    model = attacked.first().eval()
    return gradient_of(model, hospital.inputs("train")[records], labels, class_weights(attacked)), labels


def inputs_of_site(hospital: Hospital, records: NDArray[np.int64] | slice) -> dict[str, Floats]:
    """Give a site's training records by modality."""
    return hospital.roles["train"].inputs.arrays(records)
