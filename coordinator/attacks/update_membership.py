"""Membership in an update, by whether a record's own gradient points where the update went.

After Li, Li & Ribeiro 2023 (cosine attack): gradients of a large network's records are nearly orthogonal, so
that a step along one record's is told from steps along others'.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from coordinator.algorithms.training import loss_of
from coordinator.attacks.local_round import Update
from coordinator.models.stages import Value
from coordinator.schedule import Indices


def update_cosine(
    update: Update, inputs: Callable[[Indices], Value], labels: Tensor, records: Indices
) -> NDArray[np.float64]:
    """Score records (records,) by the cosine of their own descent and what was seen: higher for members.

    Args:
        update: what was seen.
        inputs: gives the inputs of some records.
        labels: (n,) of all.
        records: which of them.
    """
    model = update.model.eval()
    seen = torch.cat([each.flatten() for each in update.change])
    held = [value for name, value in model.named_parameters() if update.shows(name)]
    found = []
    for record in records:
        one = np.array([record])
        loss = loss_of(model(inputs(one)), labels[torch.from_numpy(one)], update.weights)
        own = -torch.cat([each.flatten() for each in torch.autograd.grad(loss, held, materialize_grads=True)])
        found.append(float(torch.nn.functional.cosine_similarity(own, seen, dim=0)))
    return np.array(found)
