"""Inversion of activations by a decoder that was trained on auxiliary records (He 2019, black box).

The attacker has the activations of records of its own (auxiliary ones), learns x = D(a), and applies D to
the activations it recorded. D is a ridge regression plus a small network for what that leaves. Against a
defence it learns from its own activations under that defence, each several times where that draws.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import Ridge, RidgeCV
from torch import Tensor, nn

from coordinator.algorithms.optimizers import Optimizer
from coordinator.attacks.defence import UNDEFENDED, Known
from coordinator.attacks.early_stopping import CHECK_EVERY, Best, set_aside
from coordinator.config import Training
from coordinator.draws import key

Floats = NDArray[np.float32]
BATCH: Final = 32
WIDTH: Final = 128
STRENGTHS: Final = tuple(10.0**power for power in range(-4, 5))  # of the ridge, chosen by leaving one out


def train_decoder(
    activations: Floats, records: Floats, *, seed: int, steps: int, defence: Known = UNDEFENDED
) -> Callable[[Floats], Floats]:
    """Learn to give records from activations.

    Args:
        activations: (n, ...) float32 of auxiliary records.
        records: (n, features) float32, what the front was given.
        seed: keys the network's first parameters, its batches, and what it is checked on.
        steps: of the network.
        defence: that the activations to decode went through.

    Returns: activations (m, ...) to records (m, features).
    """
    several = defence.learned_from(activations)
    flat = np.concatenate(several).reshape(len(several) * len(activations), -1)
    mean, scale = flat.mean(axis=0), flat.std(axis=0)
    scale = np.where(scale > 1e-6, scale, np.float32(1))  # a unit that never fires says nothing

    def standardised(values: Floats) -> Floats:
        return (values.reshape(len(values), -1) - mean) / scale

    check, learn = set_aside(len(activations), seed, "decoder", len(several))
    inputs, records = standardised(flat), np.concatenate([records] * len(several))
    ridge = _ridge(inputs, records, learn, check if len(several) > 1 else None)

    def straight(values: Floats) -> Floats:
        found: Floats = ridge.predict(values).astype(np.float32).reshape(len(values), -1)
        return found

    rest = records - straight(inputs)
    network = _fit(inputs, rest, learn, check, seed, steps)

    def decode(values: Floats) -> Floats:
        ready = standardised(values)
        with torch.inference_mode():
            return straight(ready) + network(torch.from_numpy(ready)).numpy()

    return decode


def _ridge(
    inputs: Floats, records: Floats, learn: NDArray[np.int64], check: NDArray[np.int64] | None
) -> Ridge | RidgeCV:
    """Fit the ridge, its strength by leaving one out, or by other records where a record has copies."""
    if check is None:
        return RidgeCV(STRENGTHS).fit(inputs[learn], records[learn])
    fitted = [Ridge(strength).fit(inputs[learn], records[learn]) for strength in STRENGTHS]
    return min(fitted, key=lambda each: float(((each.predict(inputs[check]) - records[check]) ** 2).mean()))


def _fit(
    inputs: Floats, rest: Floats, learn: NDArray[np.int64], check: NDArray[np.int64], seed: int, steps: int
) -> nn.Module:
    """Fit the network to what the ridge leaves; it is kept as it was best on the records set aside."""
    network = _network(inputs.shape[1], rest.shape[1], seed)
    optimizer = Optimizer(network, Training(), 1e-3)
    draws = np.random.default_rng(key(seed, "decoder", "batches"))
    x, y = torch.from_numpy(inputs), torch.from_numpy(rest)
    best = Best([network])
    best.check(_error(network, x[check], y[check]))  # the ridge alone
    for step in range(1, steps + 1):
        batch = draws.choice(learn, size=min(BATCH, len(learn)), replace=False)
        ((network(x[batch]) - y[batch]) ** 2).mean().backward()
        optimizer.descend(0)
        if step % CHECK_EVERY == 0:
            best.check(_error(network, x[check], y[check]))
    best.restore()
    return network


def _network(inputs: int, outputs: int, seed: int) -> nn.Module:
    """Make a network whose first output is zero, so that it starts as the ridge alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(key(seed, "decoder", "init"))
        first, last = nn.Linear(inputs, WIDTH), nn.Linear(WIDTH, outputs)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(first, nn.ReLU(), last)


@torch.inference_mode()
def _error(network: nn.Module, inputs: Tensor, outputs: Tensor) -> float:
    return float(((network(inputs) - outputs) ** 2).mean())
