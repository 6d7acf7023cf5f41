"""Labels that randomized response sent partly wrong, from the activations that came with them.

What a label says of the true one is known from its epsilon; what activations say is learned from the labels
as they were sent, whose probability is a known function of the true ones' (the prior of Ghazi 2021). By
Bayes the two add in log odds. Of each record the prior is learned from others, so that its own label counts
once.
"""

from math import exp
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

FOLDS: Final = 5
DIRECTIONS: Final = 16  # of activations, that a prior is learned on
SUREST: Final = 1e-3  # no prior is surer: it is learned


def randomized_labels(
    activations: NDArray[np.float32], labels: NDArray[np.float32], *, epsilon: float, seed: int
) -> NDArray[np.float64]:
    """Score records (n,) by the log odds of the outcome.

    Args:
        activations: (n, ...), as they were sent.
        labels: (n,) of 0 and 1, as they were sent, wrong with probability 1 / (1 + e^epsilon).
        epsilon: of the randomized response.
        seed: keys the folds.
    """
    told = labels > 0.5
    said = np.where(told, epsilon, -epsilon)
    least = int(min(told.sum(), (~told).sum()))
    if least < FOLDS:
        return said
    flat = activations.reshape(len(activations), -1).astype(np.float64)
    wrong = 1 / (1 + exp(epsilon))
    as_sent = _probability(flat, told, seed)
    prior = np.clip((as_sent - wrong) / (1 - 2 * wrong), SUREST, 1 - SUREST)
    found: NDArray[np.float64] = said + np.log(prior / (1 - prior))
    return found


def _probability(flat: NDArray[np.float64], told: NDArray[np.bool_], seed: int) -> NDArray[np.float64]:
    """Give the probability (n,) that a record's label is sent as 1, learned from the other folds."""
    most = min(DIRECTIONS, flat.shape[1], len(flat) // 2)
    model = make_pipeline(
        StandardScaler(), PCA(most, random_state=0), StandardScaler(), LogisticRegression(max_iter=1000)
    )
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed % 2**32)
    found: NDArray[np.float64] = cross_val_predict(model, flat, told, cv=folds, method="predict_proba")[:, 1]
    return found
