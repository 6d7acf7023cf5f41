"""What stands between a site's tensors and their release: noise, and the account of what it cost.

Where a strategy has no defence nothing here is called and no bit changes.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from math import exp
from typing import Any, Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from coordinator.config import Privacy
from coordinator.epochs import batches_in
from coordinator.errors import ProtocolError
from coordinator.privacy.accounting import (
    Cost,
    epochs_in_round,
    noise_cost,
    pure_cost,
    releases_per_visit,
)
from coordinator.privacy.cut_gradients import CUT_GRADIENTS
from coordinator.privacy.hijacking import Scrutiny
from coordinator.privacy.releasing import ORDER, clipped, noised
from coordinator.privacy.secret_noise import Secret, uniform
from coordinator.protocol.keys import COORDINATOR
from coordinator.specs import Run

Indices = NDArray[np.int64]
Place = tuple[int, ...]
SAMPLED: Final = "coordinator.privacy.sampled_accounting"
SUSPECTED: Final = (-2, -2)  # where it is decided that nothing more leaves
TRAIN, VALIDATION, TEST = "train", "validation", "test"


class Account(Protocol):
    """What is known to have left, by patient; kept at the site and never set back (`sites.account`)."""

    def charge(self, key: str, role: str, records: Indices, cost: Cost) -> None:
        """Write a release of records down before it leaves; one that is written down already costs nothing.

        Raises:
            ConfigError: with it, a patient's account would be overdrawn.
        """

    def charge_step(self, key: str, scale: float, q: float) -> None:
        """Write a step on secretly sampled training patients down; as `charge`."""

    def affords_steps(self, count: int, scale: float, q: float) -> bool:
        """Say whether so many more of these can be borne."""

    def affords(self, role: str, cost: Cost) -> bool:
        """Say whether every patient of a role can have all records released at such a cost each."""

    def decided(self, at: Place, decide: Callable[[], bool]) -> bool:
        """Give what was decided at a place, now or before."""


@dataclass(frozen=True)
class Guard:
    """A site's means of protection in one run; `scale` is the noise's, in clips.

    `patients` number each training record's patient, from 0 (records,).
    """

    run: Run
    index: int
    secret: Secret
    account: Account
    scale: float = 0.0
    patients: Indices = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    scrutiny: Scrutiny | None = None
    first: int = 0  # what the first record is called in the account, where several groups are scored

    def activations(self, values: Tensor, place: Place, role: str, records: Indices) -> Tensor:
        """Give what of the front's output (batch, ...) may leave; gradients pass through it."""
        noise, share = self.run.privacy.noise, self.run.privacy.dropout
        if share:
            values = self._dropped(values, place, share)
        if noise is None:
            return values
        return self._under_noise(values, noise.clip, ("activations", place), role, records)

    def head_gradient(
        self, rows: Tensor, labels: Tensor, place: Place, records: Indices, weight: float
    ) -> Tensor:
        """Give what of the loss's gradient at the middle's output (batch, ...) may leave.

        Args: `weight` is that of one record in the loss; the clip is of a record's own gradient.
        """
        privacy, noise = self.run.privacy, self.run.privacy.noise
        if privacy.cut_gradient != "none":
            key = self.secret.key("cut gradient", place, rows.cpu().numpy())
            return CUT_GRADIENTS[privacy.cut_gradient](rows, labels, key)
        if noise is None or noise.gradient_clip is None:
            return rows
        what = ("head gradient", place)
        return self._under_noise(rows / weight, noise.gradient_clip, what, TRAIN, records) * weight

    def labels(self, labels: Tensor, role: str, records: Indices, every: Tensor) -> Tensor:
        """Give labels (batch,) as they are sent: some of them wrong, the same ones always.

        Args: `every` are all labels of the role (records,).
        """
        epsilon = self.run.privacy.label_epsilon
        if epsilon is None:
            return labels
        key = self.secret.key(f"labels {role}", (), every.cpu().numpy())
        self.account.charge(shown(key), role, np.arange(len(every)), pure_cost(epsilon))
        wrong = uniform(key, len(every))[records] < 1 / (1 + exp(epsilon))
        return torch.where(torch.from_numpy(wrong).to(labels.device), 1 - labels, labels)

    @property
    def step_scale(self) -> float:
        """Give the scale of the noise of a step of DP-SGD, in clips."""
        settings = self.run.privacy.dp_sgd
        return self.scale if settings is None or settings.scale is None else settings.scale

    def charge_batch(self, key: bytes, records: Indices) -> None:
        """Write a step of DP-SGD on known records down, where parts of a cut model leave."""
        self.account.charge(shown(key), TRAIN, records, noise_cost("gaussian", self.step_scale))

    @property
    def sample_rate(self) -> float:
        """Give the probability with which a step of DP-SGD takes a patient."""
        return min(1.0, self.run.training.batch_size / max(1, len(self.patients)))

    def charge_step(self, key: bytes) -> None:
        """Write a step of DP-SGD down before its result can leave."""
        self.account.charge_step(shown(key), self.step_scale, self.sample_rate)

    def scrutinize(self, gradient: Tensor, labels: Tensor, place: Place) -> None:
        """Look at the gradient that came down for a batch, in training.

        Raises:
            ProtocolError: the last ones are not of the task; from now on this site releases nothing.
        """
        if self.scrutiny is None or not self.scrutiny.suspects(gradient, labels):
            return
        self.account.decided(SUSPECTED, lambda: False)
        raise ProtocolError(
            f"the gradients of the last {self.scrutiny.window} batches until {place} tell records of "
            f"different labels apart by {self.scrutiny.mean():.2f}, less than {self.scrutiny.least}: they "
            "are not of the task, and the coordinator may be training this site's layers for ends of its "
            "own; nothing more leaves",
            COORDINATOR,
        )

    def goes_on(self, at: Place) -> bool:
        """Say whether, after a round, this site can afford one more and what comes at the end."""
        return self.account.decided(at, lambda: self.affords_a_round(after=at))

    def affords_a_round(self, after: Place | None = None) -> bool:
        """Say whether the account bears a round after the one at (trial, round), or the first one."""
        training = self.run.training
        if after == (len(training.learning_rates) - 1, training.rounds - 1):
            return True
        visit, once = self.per_visit(), self.per_release()
        passes = epochs_in_round(self.run, self.index) + self.run.adapt
        needed = {TRAIN: visit.times(passes), VALIDATION: once, TEST: once}
        return self._affords_steps() and all(self.account.affords(*each) for each in needed.items())

    def _affords_steps(self) -> bool:
        if self.run.privacy.dp_sgd is None or self.run.algorithm == "split":
            return True
        steps = epochs_in_round(self.run, self.index) * batches_in(self.run, len(self.patients))
        return self.account.affords_steps(steps, self.step_scale, self.sample_rate)

    def per_release(self) -> Cost:
        """Give the cost of one release of a record's activations."""
        noise = self.run.privacy.noise
        return noise_cost(noise.mechanism, self.scale) if noise else Cost()

    def per_visit(self) -> Cost:
        """Give the cost of all that leaves of a record in a training step."""
        step = Cost()
        if self.run.privacy.dp_sgd and self.run.algorithm == "split":
            step = noise_cost("gaussian", self.step_scale)
        return self.per_release().times(releases_per_visit(self.run.privacy)) + step

    def _dropped(self, values: Tensor, place: Place, share: float) -> Tensor:
        """Drop a share of the numbers, others than the coordinator can guess (Srivastava 2014)."""
        drawn = uniform(self.secret.key("dropout", place), values.numel()).reshape(values.shape)
        kept = torch.from_numpy((drawn >= share).astype(np.float32) / (1 - share)).to(values.device)
        return values * kept

    def _under_noise(
        self, values: Tensor, clip: float, what: tuple[str, Place], role: str, records: Indices
    ) -> Tensor:
        noise = self.run.privacy.noise
        assert noise is not None
        clean = clipped(values, clip, ORDER[noise.mechanism])
        key = self.secret.key(*what, clean.detach().cpu().numpy())
        self.account.charge(shown(key), role, records + self.first, self.per_release())
        return noised(clean, noise, clip, self.scale, key)


UNDEFENDED: Final = Privacy()


def shown(key: bytes) -> str:
    """Name a key where others may read it: a hash, from which no noise can be drawn."""
    return hashlib.sha256(b"shown" + key).hexdigest()[:32]


def chosen(records: Any, count: int) -> Indices:
    """Number the records that a slice or an array of indices stands for."""
    found: Indices = np.arange(count)[records]
    return found
