"""Holds label inference against a recorded round of a strategy whose labels stay at the sites."""

from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from coordinator.attacks.effort import Effort
from coordinator.attacks.labels import clustering, gradient_cosine, gradient_norm
from coordinator.attacks.randomized_labels import randomized_labels
from coordinator.attacks.simulated_gradients import simulated_gradients
from coordinator.attacks.unsplit_labels import unsplit_labels
from coordinator.schedule import Batch
from sites.attacked import LEAST, Attacked, Rows, activations, rows_of
from sites.joined import Joined
from sites.leakage import inferred
from sites.updates import class_weights

Array = NDArray[Any]
CLUSTERED: Final = {"Activations": "labels from activations", "Features": "labels from features"}
BY_GRADIENT: Final[dict[str, Callable[[Array], Array]]] = {
    "gradient_norm": gradient_norm,
    "gradient_cosine": gradient_cosine,
}


def label_rows(attacked: Attacked, effort: Effort) -> Rows:
    """Infer the training labels from activations, from the coordinator's features and from gradients."""
    run = attacked.run
    if run.algorithm != "split" or not attacked.wire:
        return []
    if run.labels == "shared":
        return _randomized(attacked)
    rows: Rows = []
    for kind, target in CLUSTERED.items():
        seen, labels = _recorded(attacked, kind)
        if len(labels) > 1:
            distances = clustering(seen, seed=run.seed)
            rows += rows_of(
                "clustering", target, "curious_coordinator", inferred(labels, distances, distances > 0)
            )
    gradients, labels = _recorded(attacked, "HeadGradient")
    for name, attack in BY_GRADIENT.items():
        if len(labels) > 1:
            found = inferred(labels, attack(gradients))
            rows += rows_of(name, "labels from gradients", "curious_coordinator", found)
    features, _ = _recorded(attacked, "Features")
    if len(labels) < 2 or len(features) != len(gradients):
        return rows
    return [
        *rows,
        *_unsplit(attacked, effort, (features, gradients), labels),
        *_simulated(attacked, (features, gradients), labels),
    ]


def _randomized(attacked: Attacked) -> Rows:
    """Undo what randomized response did to the labels; nothing where they were sent as they are."""
    epsilon = attacked.run.privacy.label_epsilon
    sent = {heard.position: heard.arrays["labels"] for heard in attacked.wire if "labels" in heard.arrays}
    seen = [(batch, up) for batch, up in _of_one_model(attacked, "Activations") if batch.position in sent]
    if epsilon is None or not seen:
        return []
    told = np.concatenate([sent[batch.position] for batch, _ in seen])
    labels = np.concatenate([attacked.labels_of(batch) for batch, _ in seen])
    ups = np.concatenate([up for _, up in seen])
    scores = randomized_labels(ups, told, epsilon=epsilon, seed=attacked.run.seed)
    found = inferred(labels, scores, scores > 0)
    return rows_of("randomized_labels", "labels that were sent", "curious_coordinator", found)


def _unsplit(
    attacked: Attacked, effort: Effort, seen: tuple[Array, Array], labels: NDArray[np.int64]
) -> Rows:
    """Fit a head of the attacker's to the recorded features and gradients."""
    scores = unsplit_labels(
        attacked.first(2), *seen, iterations=effort.descent,
        weights=class_weights(attacked),
    )  # fmt: skip
    found = inferred(labels, scores, scores > 0)
    return rows_of("unsplit_labels", "labels from gradients", "curious_coordinator", found)


def _simulated(attacked: Attacked, seen: tuple[Array, Array], labels: NDArray[np.int64]) -> Rows:
    """Learn from gradients of auxiliary records, made by the parts with which training began."""
    own = [each.roles["auxiliary"] for each in attacked.hospitals]
    known, name = np.concatenate([each.labels for each in own]), "simulated_gradients"
    if len(known) < LEAST or known.min() == known.max():
        return []
    front, middle, head = (attacked.first(part).eval() for part in range(3))
    defence, inputs = attacked.known(name), Joined([each.inputs for each in own])
    up = defence.released(torch.from_numpy(activations(front, inputs)))
    with torch.inference_mode():
        features = middle(up).numpy()
    scores = simulated_gradients(
        head, features, known.astype(np.float32), seen, defence=defence,
        batch=attacked.run.training.batch_size, seed=attacked.run.seed, weights=class_weights(attacked),
    )  # fmt: skip
    found = inferred(labels, scores, scores > 0)
    return rows_of(name, "labels from gradients", "curious_coordinator", found)


def _recorded(attacked: Attacked, kind: str) -> tuple[Array, NDArray[np.int64]]:
    """Give a kind's recorded tensors (records, ...) and the true labels of their records."""
    found = list(_of_one_model(attacked, kind))
    if not found:
        return np.empty((0, 1), dtype=np.float32), np.empty(0, dtype=np.int64)
    labels = [attacked.labels_of(batch) for batch, _ in found]
    return np.concatenate([seen for _, seen in found]), np.concatenate(labels)


def _of_one_model(attacked: Attacked, kind: str) -> Iterator[tuple[Batch, Array]]:
    """Walk a round's messages; where each site has layers of its own, those of the largest site alone."""
    alone = attacked.largest() if attacked.run.site_parts == "private" else None
    for batch, tensor in attacked.steps(kind):
        if alone is None or batch.site == alone:
            # a gradient is that of a mean over the site's batch, or over all sites' records of a joint step
            each = len(tensor) if kind == "HeadGradient" and attacked.run.back != "joint" else 1
            yield batch, tensor * np.float32(each)
