"""Inference of labels that are not sent, from what a coordinator sees of a step.

Each gives a score per record, higher for one of the two classes; which class that is, the attacker does not
know, and whoever scores it takes the better of the two assignments.
"""

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans

Floats = NDArray[np.float64]


def clustering(activations: NDArray[np.float32], *, seed: int) -> Floats:
    """Score records by which of two clusters they lie nearer to (k-means, best of ten starts).

    Args:
        activations: (records, ...) float32, or features.
        seed: of the starts.

    Returns: (records,) distance to the one centre less that to the other; above 0 is the second cluster.
    """
    flat = activations.reshape(len(activations), -1).astype(np.float64)
    spread = flat.std(axis=0)
    ready = (flat - flat.mean(axis=0)) / np.where(spread > 0, spread, 1)
    distances: Floats = KMeans(2, n_init=10, random_state=seed).fit_transform(ready)
    return distances[:, 0] - distances[:, 1]


def gradient_norm(gradients: NDArray[np.float32]) -> Floats:
    """Score records by their gradient's norm: the rarer class is fitted worse (Li 2022, section 3.1).

    Args:
        gradients: (records, ...) float32, each the gradient of its own loss.
    """
    flat = gradients.reshape(len(gradients), -1).astype(np.float64)
    norms: Floats = np.linalg.norm(flat, axis=1)
    return norms


def gradient_cosine(gradients: NDArray[np.float32]) -> Floats:
    """Score records by the cosine of their gradient and the direction in which all gradients lie most.

    Gradients of the two classes point apart (Li 2022, section 3.2). There the attacker compares with the
    gradient of a record whose label it knows; here with the first right singular vector, and knows none.
    """
    flat = gradients.reshape(len(gradients), -1).astype(np.float64)
    norms = np.linalg.norm(flat, axis=1, keepdims=True)
    unit = flat / np.where(norms > 0, norms, 1)
    _, _, directions = np.linalg.svd(unit, full_matrices=False)
    cosines: Floats = unit @ directions[0]
    return cosines
