"""A client of the attacker's own, trained against the coordinator's layers (PCAT, Gao & Zhang 2023).

The coordinator's layers are kept as they are; a front (and, U-shaped, a head) below and above them learns the
task from auxiliary records. What it gives then resembles what the sites send: a decoder trained on it
reads theirs, its head labels them. Its activations go through the sites' defence as theirs do. SDAR (Zhu
2025) aligns the two by a discriminator; here it is done by means and covariances (Sun & Saenko 2016), which
few auxiliary records suffice for. A fifth of them is set aside, and the client kept as it was when these were
most like what sites send: the task's loss on so few says less (heart: 69 % of features, by loss 59 %).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from coordinator.algorithms.optimizers import Optimizer
from coordinator.algorithms.training import Weights, loss_of
from coordinator.attacks.defence import UNDEFENDED, Known
from coordinator.attacks.early_stopping import CHECK_EVERY, Best, set_aside
from coordinator.config import Training
from coordinator.draws import key
from coordinator.models.stages import Part, Value
from coordinator.privacy import no_peek
from coordinator.schedule import Indices

RATE: Final = 0.003
BATCH: Final = 32
ALIGNED: Final = 1.0  # weight of the distance of moments beside the task's loss


@dataclass(frozen=True)
class PseudoClient:
    """The attacker's front and, where labels stay at the sites, head; the coordinator's layers between."""

    front: Part
    middle: Part
    head: Part | None

    @torch.inference_mode()
    def labels(self, activations: NDArray[np.float32]) -> NDArray[np.float64]:
        """Score records (records,) by their activations: higher for the outcome."""
        up = self.middle(torch.from_numpy(activations))
        logits = up if self.head is None else self.head(up)
        found: NDArray[np.float64] = logits[:, 0].double().numpy()
        return found


def train_pseudo_client(
    client: PseudoClient, inputs: Callable[[Indices], Value], labels: Tensor, seen: NDArray[np.float32], *,
    steps: int, seed: int, weights: Weights | None = None, defence: Known = UNDEFENDED,
) -> PseudoClient:  # fmt: skip
    """Train front and head on auxiliary records; the coordinator's layers stay.

    Args:
        client: its parts; they are changed.
        inputs: gives the inputs of some auxiliary records.
        labels: (records,) float32 of them.
        seen: (n, ...) activations that sites sent.
        steps: of a batch each.
        seed: keys the batches.
        weights: of the classes.
        defence: of the sites, which its own activations go through as theirs did.
    """
    own = [part for part in (client.front, client.head) if part is not None]
    optimizer = Optimizer(nn.ModuleList(own), Training(optimizer="adam"), RATE)
    draws = np.random.default_rng(key(seed, "pseudo client"))
    theirs = torch.from_numpy(seen).flatten(1)
    for part in (*own, client.middle):
        part.eval()
    check, learn = set_aside(len(labels), seed, "pseudo client")
    best = Best(own)
    for step in range(1, steps + 1):
        batch = draws.choice(learn, size=min(BATCH, len(learn)), replace=False)
        here = theirs[torch.from_numpy(draws.choice(len(theirs), size=min(BATCH, len(theirs))))]
        chosen = labels[torch.from_numpy(batch)]
        optimizer.backward(_loss(client, inputs(batch), chosen, here, weights, defence))
        optimizer.descend(0)
        if step % CHECK_EVERY == 0:
            with torch.no_grad():
                aside = defence.released(client.front(inputs(check)))
                best.check(float(apart(aside.flatten(1), theirs)))
    best.restore()
    return client


def _loss(
    client: PseudoClient, inputs: Value, labels: Tensor, theirs: Tensor, weights: Weights | None,
    defence: Known,
) -> Tensor:  # fmt: skip
    """Give the task's loss on own records, and how far their activations are from the sites' ()."""
    clean = client.front(inputs)
    activations = defence.released(clean)
    output = client.middle(activations)
    logits = output if client.head is None else client.head(output)
    loss = loss_of(logits, labels, weights)
    if defence.privacy.no_peek:
        hidden = no_peek.distance_correlation(no_peek.flat(inputs), clean)
        loss = loss + defence.privacy.no_peek * hidden
    return loss + ALIGNED * apart(activations.flatten(1), theirs)


def apart(own: Tensor, theirs: Tensor) -> Tensor:
    """Say how far two batches' moments are apart (): of units' means and covariances, in their spread."""
    spread = theirs.std(dim=0).mean().clamp_min(1e-6)
    means = ((own.mean(dim=0) - theirs.mean(dim=0)) / spread).square().mean()
    if own.shape[1] > own.shape[0] * 8:  # images: covariances of more units than that say nothing
        return means + ((own.std(dim=0) - theirs.std(dim=0)) / spread).square().mean()
    return means + ((_covariance(own) - _covariance(theirs)) / spread**2).square().mean()


def _covariance(values: Tensor) -> Tensor:
    centred = values - values.mean(dim=0)
    return centred.T @ centred / max(1, len(values) - 1)
