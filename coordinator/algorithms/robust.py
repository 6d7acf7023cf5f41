"""Averages that a few false models cannot move far: the median and the trimmed mean, number by number.

Each site counts alike, and one that has no training records not at all. A number that is not one counts as
larger than all others.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from coordinator.algorithms.training import weighted_mean
from coordinator.poison_rules import trimmed
from coordinator.specs import Run


def aggregated(run: Run, models: Sequence[Sequence[Tensor]], weights: Sequence[float]) -> list[Tensor]:
    """Average the sites' models as the study says; only a mean heeds how much a site weighs.

    Yin et al. 2018: coordinate-wise median (definition 1), coordinate-wise trimmed mean (definition 2).
    """
    if run.aggregate == "mean":
        return weighted_mean(models, weights)
    counted = [model for model, weight in zip(models, weights, strict=True) if weight]
    ends = (len(counted) - 1) // 2  # all but the middle one or two: the median
    if run.aggregate == "trimmed_mean":
        ends = min(ends, trimmed(len(counted), run.trimmed_share))
    return [_middle(values, ends) for values in zip(*counted, strict=True)]


@torch.no_grad()
def _middle(values: Sequence[Tensor], ends: int) -> Tensor:
    """Give the mean of what lies between so many of the least and the largest of each number."""
    ordered = torch.stack([value.double() for value in values]).sort(dim=0).values
    return ordered[ends : len(values) - ends].mean(dim=0).to(values[0].dtype)
