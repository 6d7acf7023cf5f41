"""Feature-space hijacking (FSHA, Pasquini 2021): a coordinator that controls the gradient it sends down.

It trains an autoencoder on auxiliary records, and sends sites the gradient not of the task but of a
discriminator that tells their activations from its encoder's. The front becomes that encoder, and the
decoder reads what it sends. (Wasserstein with a gradient penalty, as published; layers are small ones, to fit
tables too.) Once the autoencoder gives records set aside no better, it is fixed, and the front follows that.
"""

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from coordinator.algorithms.optimizers import Optimizer
from coordinator.attacks.defence import UNDEFENDED, Known
from coordinator.attacks.early_stopping import CHECK_EVERY, Best, set_aside
from coordinator.config import Training
from coordinator.draws import key
from coordinator.models.stages import Part, Value

Floats = NDArray[np.float32]
RATE: Final = 0.001
PENALTY: Final = 10.0
WIDTH: Final = 128
CRITIC_STEPS: Final = 3  # for each of the site's
PATIENCE: Final = 8  # checks without a better one


class Hijacker:
    """The hostile coordinator: activations in, gradient out; it can read what it is sent at any time."""

    def __init__(
        self, encoder: Part, inputs: Value, records: Floats, activations: tuple[int, ...], *, seed: int,
        defence: Known = UNDEFENDED,
    ) -> None:  # fmt: skip
        """Make encoder, decoder and discriminator.

        Args:
            encoder: a front of the attacker's own.
            inputs: (n, ...) of auxiliary records.
            records: (n, features) of them, laid flat.
            activations: shape of one record's.
            seed: keys first parameters and batches.
            defence: that the sites' activations go through, and so the encoder's.
        """
        self.encoder, self._inputs, self._records = encoder.train(), inputs, torch.from_numpy(records)
        self.defence = defence
        units = int(np.prod(activations))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(key(seed, "hijacker"))
            self._decoder, self._critic = _layers(units, records.shape[1]), _layers(units, 1)
        adam = Training(optimizer="adam")
        self._optimizers = {
            part: Optimizer(part, adam, RATE) for part in (self.encoder, self._decoder, self._critic)
        }
        self._draws = np.random.default_rng(key(seed, "hijacker"))
        self._check, self._learn = set_aside(len(records), seed, "hijacker")
        self._best, self._steps = Best([self.encoder, self._decoder]), 0
        self._noise = torch.Generator().manual_seed(key(seed, "hijacker", "penalty") >> 1)

    def answer(self, activations: Tensor) -> Tensor:
        """Give the gradient that goes down for a batch's activations, and learn from them."""
        if self._best.worse < PATIENCE:
            self._learn_autoencoder(len(activations))
        self._learn_to_tell(activations.detach())
        up = activations.detach().clone().requires_grad_()
        loss = -self._critic(up.flatten(1)).mean()
        (gradient,) = torch.autograd.grad(loss, up)
        return gradient

    @torch.inference_mode()
    def read(self, activations: Floats) -> Floats:
        """Reconstruct records (n, features) from activations."""
        found: Floats = self._decoder(torch.from_numpy(activations).flatten(1)).numpy()
        return found

    def _learn_autoencoder(self, size: int) -> None:
        self._error(*self._some(size)).backward()
        for part in (self.encoder, self._decoder):
            self._optimizers[part].descend(0)
        self._steps += 1
        if self._steps % CHECK_EVERY == 0:
            with torch.no_grad():
                self._best.check(float(self._error(*self._those(self._check))))
        if self._best.worse == PATIENCE:
            self._best.restore()

    def _error(self, inputs: Value, records: Tensor) -> Tensor:
        own = self.defence.released(self.encoder(inputs)).flatten(1)
        return ((self._decoder(own) - records) ** 2).mean()

    def _learn_to_tell(self, theirs: Tensor) -> None:
        with torch.no_grad():
            own = self.defence.released(self.encoder(self._some(len(theirs))[0])).flatten(1)
        other = theirs.flatten(1)
        size, optimizer = min(len(own), len(other)), self._optimizers[self._critic]
        for _ in range(CRITIC_STEPS):
            loss = self._critic(other).mean() - self._critic(own).mean()
            optimizer.backward(loss + PENALTY * self._steepness(own[:size], other[:size]))
            optimizer.descend(0)

    def _steepness(self, own: Tensor, other: Tensor) -> Tensor:
        share = torch.rand(len(own), 1, generator=self._noise)
        between = (share * own + (1 - share) * other).requires_grad_()
        (slope,) = torch.autograd.grad(self._critic(between).sum(), between, create_graph=True)
        return ((slope.norm(dim=1) - 1) ** 2).mean()

    def _some(self, size: int) -> tuple[Value, Tensor]:
        few = min(size, len(self._learn))
        return self._those(self._draws.choice(self._learn, size=few, replace=False))

    def _those(self, records: NDArray[np.int64]) -> tuple[Value, Tensor]:
        chosen = torch.from_numpy(records)
        if isinstance(self._inputs, dict):
            return {name: value[chosen] for name, value in self._inputs.items()}, self._records[chosen]
        return self._inputs[chosen], self._records[chosen]


def _layers(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, WIDTH), nn.LeakyReLU(0.2), nn.Linear(WIDTH, WIDTH), nn.LeakyReLU(0.2),
        nn.Linear(WIDTH, outputs),
    )  # fmt: skip
