"""A recorded update in a federated run: the model that went down, what came up, the steps between.

Of a secure sum only the average of all sites that took part is heard: it is one update, of all their records.
"""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from coordinator.algorithms.class_weights import agreed_weights
from coordinator.algorithms.training import Weights, floats
from coordinator.attacks.local_round import Share, Step, Update, gradient_of
from coordinator.models.stages import Part
from coordinator.participation import participants
from coordinator.rates import rate_at
from coordinator.schedule import site_round
from coordinator.wire import SCORING, Heard
from sites.attacked import Attacked, Hospital

Floats = NDArray[np.float32]
AVERAGED = ("fedavg", "fedprox")  # what comes down is the mean of what went up
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
    if not sent or sent[0].site != run.sites[site] or model is None or run.secure_aggregation:
        return None
    return _update(attacked, model, sent[0], (trial, round_), [(site, 1.0)])


def recorded_sum(attacked: Attacked) -> tuple[Update, list[int]] | None:
    """Give the average of the recorded round, and whose records are in it; None where more is heard."""
    run, counts = attacked.run, attacked.cohort.train
    weights = [heard for heard in attacked.wire if heard.kind == "Weights" and heard.position[0] != SCORING]
    if run.algorithm != "federated" or not run.secure_aggregation or run.rule not in AVERAGED or not weights:
        return None
    round_, trial = max(heard.position[1] for heard in weights), weights[0].position[0]
    model = model_before(attacked, weights, round_)
    there = [site for site in participants(run, round_, len(run.sites)) if counts[site]]
    heard = [each for each in weights if each.position[1] == round_]
    if model is None or not heard or not there:
        return None
    shares = {site: counts[site] if run.site_weights == "records" else 1 for site in there}
    total = sum(shares.values())
    parts = [(site, each / total) for site, each in shares.items()]
    return _update(attacked, model, heard[-1], (trial, round_), parts), there


def _update(
    attacked: Attacked, model: Part, heard: Heard, at: tuple[int, int], shares: list[tuple[int, float]]
) -> Update:
    run, (trial, round_) = attacked.run, at
    after = [torch.from_numpy(array) for _, array in sorted(heard.arrays.items())]
    change = tuple(b - a.detach() for a, b in zip(model.parameters(), after, strict=True))
    rate = rate_at(run.training, run.training.learning_rates[trial], round_)
    first, *others = _shares(attacked, at, shares)
    return Update(
        model, change, first.steps, run.training, rate, class_weights(attacked), first.weight, tuple(others)
    )


def _shares(attacked: Attacked, at: tuple[int, int], shares: list[tuple[int, float]]) -> Iterator[Share]:
    """Give each site's steps; the records of the sites stand one site after the other."""
    run, offset = attacked.run, 0
    for site, weight in shares:
        count = attacked.cohort.train[site]
        batches = site_round(run, *at, site, count)
        steps = tuple(
            Step(torch.from_numpy(batch.records + offset), (run.seed, "forward", *batch.draw))
            for batch in batches
        )
        yield Share(steps, weight)
        offset += count


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
