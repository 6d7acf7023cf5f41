"""A run's defence as its adversary has it: the same mechanism, under draws of the adversary's own.

Nothing but a site's secret is secret (Kerckhoffs 1883): who attacks a defended run knows clip, scale and
share, lays them over its own auxiliary records' activations, and learns from these (adaptive attacks, Athalye
2018).
"""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from coordinator.config import Privacy
from coordinator.draws import key
from coordinator.privacy.activation_codec import CODECS
from coordinator.privacy.cut_gradients import CUT_GRADIENTS
from coordinator.privacy.releasing import ORDER, clipped, noised

Floats = NDArray[np.float32]
COPIES = 8  # of auxiliary records, each under draws of its own, where the mechanism draws


@dataclass(frozen=True)
class Known:
    """What is known of a defence at the cut; `scale` is the noise's, in clips, `seed` keys own draws."""

    privacy: Privacy = field(default_factory=Privacy)
    scale: float = 0.0
    seed: int = 0

    @cached_property
    def _draws(self) -> np.random.Generator:
        return np.random.default_rng(key(self.seed, "known defence"))

    @property
    def draws(self) -> bool:
        """Say whether the same activations leave differently each time."""
        return self.privacy.noise is not None or self.privacy.dropout > 0

    @property
    def changes(self) -> bool:
        """Say whether anything happens to activations on their way out."""
        return self.draws or self.privacy.activations != "float32"

    def released(self, values: Tensor) -> Tensor:
        """Give activations (batch, ...) as a site would release them; gradients pass."""
        if self.privacy.dropout:
            kept = self._draws.random(values.shape, dtype=np.float32) >= self.privacy.dropout
            values = values * torch.from_numpy(kept / np.float32(1 - self.privacy.dropout))
        if noise := self.privacy.noise:
            clean = clipped(values, noise.clip, ORDER[noise.mechanism])
            values = noised(clean, noise, noise.clip, self.scale, self._draws.bytes(32))
        codec = CODECS[self.privacy.activations]
        if codec.unpack is None:
            return values
        passed = codec.unpack(codec.pack(values), tuple(values.shape), "adversary")
        return values + (passed - values).detach()

    def learned_from(self, activations: Floats) -> list[Floats]:
        """Give activations (n, ...) as released, several times where they differ each time."""
        if not self.changes:
            return [activations]
        clean = torch.from_numpy(activations)
        return [self.released(clean).numpy() for _ in range(COPIES if self.draws else 1)]

    def expected(self, values: Tensor) -> Tensor:
        """Give what a release of activations (batch, ...) is around, as far as it is there at all."""
        values = values / (1 - self.privacy.dropout)
        noise = self.privacy.noise
        return values if noise is None else clipped(values, noise.clip, ORDER[noise.mechanism])

    def there(self, seen: Tensor) -> Tensor:
        """Say by 0 and 1 which numbers of a release (batch, ...) were not dropped."""
        return (seen != 0).to(seen.dtype) if self.privacy.dropout else torch.ones_like(seen)

    @property
    def variance(self) -> float:
        """Give the noise's variance in a number of a release."""
        noise = self.privacy.noise
        if noise is None:
            return 0.0
        return (self.scale * noise.clip) ** 2 * (1 if noise.mechanism == "gaussian" else 2)

    def gradient(self, rows: Tensor, labels: Tensor) -> Tensor:
        """Give each record's own gradient (batch, ...) as it would go up."""
        secret, noise = self._draws.bytes(32), self.privacy.noise
        if self.privacy.cut_gradient != "none":
            return CUT_GRADIENTS[self.privacy.cut_gradient](rows, labels, secret)
        if noise is None or noise.gradient_clip is None:
            return rows
        clean = clipped(rows, noise.gradient_clip, ORDER[noise.mechanism])
        return noised(clean, noise, noise.gradient_clip, self.scale, secret)


UNDEFENDED = Known()
