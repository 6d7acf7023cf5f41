"""Differentially private SGD (Abadi 2016, algorithm 1), by patient, with the sample drawn in secret.

A step takes each patient with probability q (Poisson sampling), so that nobody outside the site knows whose
records it saw:

    g_p  = sum of the gradients of patient p's records        g_p <- g_p min(1, C / |g_p|)
    g    = (sum_p g_p + s C z) / (q n)                        n records, z standard normal

The gradient of each record is Opacus's (Yousefpour 2021).
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from opacus.grad_sample import GradSampleModule
from torch import Tensor, nn

from coordinator.errors import ConfigError
from coordinator.privacy.secret_noise import gaussian, uniform

Indices = NDArray[np.int64]
TINY = 1e-6


def sampled(key: bytes, patients: Indices, q: float) -> Indices:
    """Draw the records of a step: all of each patient that is taken; there may be none.

    Args: `patients` number each record's patient, from 0 (records,).
    """
    taken = uniform(key, int(patients.max(initial=-1)) + 1) < q
    found: Indices = np.flatnonzero(taken[patients])
    return found


def record_gradients(module: nn.Module, losses: Callable[[nn.Module], Tensor]) -> tuple[list[Tensor], Tensor]:
    """Give each parameter's gradient by record (records, ...), in the model's order, and the losses.

    Raises:
        ConfigError: the model has a layer for which Opacus computes none.
    """
    try:
        wrapped = GradSampleModule(module, loss_reduction="sum")
    except (NotImplementedError, ValueError) as error:
        raise ConfigError(f"privacy.dp_sgd: no gradient of one record: {error}") from None
    with quietly():
        each = losses(wrapped)
        each.sum().backward()
    found = recorded(module, len(each))
    wrapped.to_standard_module()
    return found, each.detach()


def recorded(module: nn.Module, records: int) -> list[Tensor]:
    """Take the gradients (records, ...) that Opacus left at a wrapped module's parameters, in their order."""
    found = []
    for parameter in module.parameters():
        each = getattr(parameter, "grad_sample", None)
        found.append(parameter.new_zeros(records, *parameter.shape) if each is None else each.detach())
        parameter.grad = None
    return found


@contextmanager
def quietly() -> Iterator[None]:
    """Say nothing of hooks, which are Opacus's own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def laid_flat(tensors: Sequence[Tensor]) -> NDArray[Any]:
    """Lay tensors in a row."""
    return np.concatenate([each.detach().cpu().numpy().ravel() for each in tensors])


def clipped_sum(gradients: Sequence[Tensor], patients: Indices, clip: float) -> list[Tensor]:
    """Add up records' gradients (records, ...) by patient, shorten each patient's, and add these up."""
    slots = torch.from_numpy(np.unique(patients, return_inverse=True)[1])
    count = int(slots.max()) + 1 if len(slots) else 0
    by_patient = [
        each.new_zeros(count, *each.shape[1:]).index_add_(0, slots.to(each.device), each)
        for each in gradients
    ]
    squares = [each.flatten(1).square().sum(1) for each in by_patient]
    lengths = torch.stack(squares).sum(0).sqrt()
    factors = torch.clamp(clip / (lengths + TINY), max=1.0)
    return [torch.einsum("p,p...->...", factors, each) for each in by_patient]


def under_noise(summed: Sequence[Tensor], clip: float, scale: float, key: bytes) -> list[Tensor]:
    """Add noise of so many clips to a sum of clipped gradients."""
    sizes = [each.numel() for each in summed]
    drawn = np.split(gaussian(key, (sum(sizes),)) * (clip * scale), np.cumsum(sizes)[:-1])
    return [
        (each.double().cpu() + torch.from_numpy(noise).view(each.shape)).to(each.device, each.dtype)
        for each, noise in zip(summed, drawn, strict=True)
    ]
