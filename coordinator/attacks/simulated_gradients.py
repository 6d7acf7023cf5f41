"""Labels from the gradients that go up, by a classifier that learned from such gradients of its own.

The attacker puts auxiliary records, whose labels it knows, through parts like the sites', in batches of the
run's size, lays the defence over their gradients as a site would, and learns labels from these: from how far
a gradient lies along the direction in which labels differ, how long it is across it, and what the head says
of the features. What a defence leaves of labels is so learned, not guessed (the adversary Li 2022 ask for).
"""

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from coordinator.algorithms.training import Weights, loss_of
from coordinator.attacks.defence import Known
from coordinator.draws import key
from coordinator.models.stages import Part

Floats = NDArray[np.float32]
PASSES: Final = 12  # over the auxiliary records, in batches drawn anew
TINY: Final = 1e-12


def simulated_gradients(
    head: Part, features: Floats, labels: Floats, seen: tuple[Floats, Floats], *,
    defence: Known, batch: int, seed: int, weights: Weights | None = None,
) -> NDArray[np.float64]:  # fmt: skip
    """Score records, higher for the outcome, by their features and gradients.

    Args:
        head: like the sites'.
        features: (n, ...) of auxiliary records, as the coordinator's layers give them.
        labels: (n,) of them, of both classes.
        seen: features and gradients (records, ...), each gradient of its own record's loss.
        defence: that the gradients went through.
        batch: records of a step.
        seed: keys batches.
        weights: of the classes.
    """
    draws = np.random.default_rng(key(seed, "simulated gradients"))
    clean = gradients_of(head, features, labels, weights).flatten(1).numpy()
    direction = clean[labels > 0.5].mean(axis=0) - clean[labels <= 0.5].mean(axis=0)
    shown, known = [], []
    for _ in range(PASSES):
        order = draws.permutation(len(labels))
        for records in np.array_split(order, max(1, len(order) // batch)):
            rows = gradients_of(head, features[records], labels[records], weights)
            rows = defence.gradient(rows, torch.from_numpy(labels[records]))
            shown.append(looks(head, direction, features[records], rows.numpy()))
            known.append(labels[records])
    # of normal noise, other for each class, the likelihood ratio is quadratic
    learned = make_pipeline(StandardScaler(), PolynomialFeatures(2), LogisticRegression(max_iter=1000))
    learned.fit(np.concatenate(shown), np.concatenate(known) > 0.5)
    found: NDArray[np.float64] = learned.decision_function(looks(head, direction, *seen))
    return found


def gradients_of(head: Part, features: Floats, labels: Floats, weights: Weights | None) -> torch.Tensor:
    """Give each record's own gradient (n, ...) at the head's input."""
    inputs = torch.from_numpy(features).requires_grad_()
    loss = loss_of(head(inputs), torch.from_numpy(labels), weights) * len(labels)
    (made,) = torch.autograd.grad(loss, inputs)
    return made


@torch.inference_mode()
def looks(head: Part, direction: Floats, features: Floats, gradients: Floats) -> Floats:
    """Give of each record (records, 3) its gradient along a direction and across it, and the head's logit.

    In float64, since a rate that is too high makes gradients whose squares float32 cannot hold; what is no
    number tells nothing.
    """
    rows = gradients.reshape(len(gradients), -1).astype(np.float64)
    unit = direction.astype(np.float64) / max(float(np.linalg.norm(direction)), TINY)
    along = rows @ unit
    across = np.linalg.norm(rows - np.outer(along, unit), axis=1)
    said = head(torch.from_numpy(features))[:, 0].numpy()
    return np.nan_to_num(np.stack([along, across, said], axis=1), posinf=0.0, neginf=0.0)
