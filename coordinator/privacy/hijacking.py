"""Whether the gradients that come down are of the task: a site's scrutiny of a coordinator (Fu 2023).

A coordinator that trains fronts for ends of its own (feature-space hijacking, Pasquini 2021) sends gradients
that know nothing of labels. Those of the task do: records of one label are pushed one way, of the other label
the other way. With cosines of the gradients of pairs of records in a batch,

    score = (mean over pairs of one label - mean over pairs of different labels) / mean absolute cosine

is clearly positive for the task and about 0 otherwise. It is averaged over a window of batches that hold both
labels. A coordinator that also serves the task while it hijacks is not found so.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

WINDOW: Final = 10
LEAST: Final = 0.2
TINY: Final = 1e-30
Floats = NDArray[np.float64]


@dataclass
class Scrutiny:
    """What a site has seen of the last batches."""

    window: int = WINDOW
    least: float = LEAST
    scores: deque[float] = field(default_factory=deque)

    def suspects(self, gradient: Tensor, labels: Tensor) -> bool:
        """Look at a batch's gradient at the cut (batch, ...); say if the last ones are not of the task."""
        found = score(gradient.detach().cpu().double().flatten(1).numpy(), labels.cpu().numpy() > 0.5)
        if found is not None:
            self.scores.append(found)
        while len(self.scores) > self.window:
            self.scores.popleft()
        return len(self.scores) == self.window and self.mean() < self.least

    def mean(self) -> float:
        """Give the mean score of the window."""
        return float(np.mean(self.scores)) if self.scores else float("nan")


def score(rows: Floats, positive: NDArray[np.bool_]) -> float | None:
    """Give a batch's score; None where it has not two records of a label and one of the other.

    Zeros for all of them are not of the task either: they leave a front as the seed drew it.
    """
    lengths = np.linalg.norm(rows, axis=1)
    if 0 < positive.sum() < len(positive) > 2 and not (lengths > TINY).any():
        return 0.0
    rows, positive = rows[lengths > TINY], positive[lengths > TINY]
    if positive.all() or not positive.any() or len(positive) < 3:
        return None
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    cosines = unit @ unit.T
    alike = positive[:, None] == positive[None, :]
    pairs = ~np.eye(len(unit), dtype=bool)
    same, different = cosines[alike & pairs], cosines[~alike]
    return float((same.mean() - different.mean()) / (np.abs(cosines[pairs]).mean() + TINY))
