"""What steps on secretly sampled patients tell: Renyi differential privacy, by Opacus (Mironov 2019).

Each step takes every patient with probability q and adds noise of `scale` clips to the sum of their clipped
gradients. Neighbours differ by one patient added or removed.
"""

from collections.abc import Mapping
from functools import cache
from math import ceil, log10

import numpy as np
from numpy.typing import NDArray
from opacus.accountants import RDPAccountant
from opacus.accountants.analysis.rdp import compute_rdp, get_privacy_spent

ORDERS = RDPAccountant.DEFAULT_ALPHAS
MOST_SCALE = 1e4
DIGITS = 3  # of a scale that is searched for


@cache
def rdp_of_step(scale: float, q: float) -> NDArray[np.float64]:
    """Give a step's Renyi divergences by order."""
    return np.asarray(compute_rdp(q=q, noise_multiplier=scale, steps=1, orders=ORDERS))


def epsilon(steps: Mapping[tuple[float, float], int], delta: float) -> float:
    """Give the epsilon of so many steps by (scale, q), at a delta."""
    total = sum((count * rdp_of_step(*step) for step, count in steps.items()), np.zeros(len(ORDERS)))
    if not total.any():
        return 0.0
    return float(get_privacy_spent(orders=ORDERS, rdp=total, delta=delta)[0])


def least_sampled_scale(q: float, steps: int, target: float, delta: float) -> float:
    """Give the least scale, to three digits, with which so many steps keep within an epsilon.

    Raises:
        ValueError: none does.
    """
    low, high = 0.0, 1.0
    while epsilon({(high, q): steps}, delta) > target:
        low, high = high, 2 * high
        if high > MOST_SCALE:
            raise ValueError("no noise keeps so many steps within the budget")
    while high - low > 10.0 ** (ceil(log10(high)) - DIGITS):
        middle = (low + high) / 2
        low, high = (low, middle) if epsilon({(middle, q): steps}, delta) <= target else (middle, high)
    return high
