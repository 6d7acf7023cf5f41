"""Distance correlation of inputs and activations, at the site (Szekely, Rizzo & Bakirov 2007): no attack.

It bounds nothing; it says how much of how records differ is still in how their activations differ.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import pdist, squareform

from coordinator.draws import key
from sites.attacked import Attacked, Rows, activations, rows_of
from sites.leakage import Z95, Measure
from sites.scene import laid_flat, together

Floats = NDArray[np.float64]
MOST: Final = 128  # records
DRAWS: Final = 20  # of pairings by chance


def dependence_rows(attacked: Attacked) -> Rows:
    """Measure it on the test records of the largest site, beside the mean over pairings by chance."""
    site = attacked.hospitals[attacked.largest()]
    records = together([site.roles["test"]])
    if attacked.run.algorithm != "split" or not attacked.has_model(site.site) or len(laid_flat(records)) < 4:
        return []
    x = laid_flat(records)[:MOST]
    a = activations(attacked.front(site.site), site.inputs("test"))[:MOST].reshape(len(x), -1)
    found = measured(x, a, seed=attacked.run.seed)
    return rows_of("distance_correlation", "inputs and activations", "-", [found])


def measured(x: NDArray[np.float32], a: NDArray[np.float32], *, seed: int) -> Measure:
    """Give the distance correlation of rows of x and a, its jackknife interval, and that of chance pairs."""
    one, other = squareform(pdist(x)), squareform(pdist(a))
    draws = np.random.default_rng(key(seed, "distance correlation"))
    value, n = correlation(one, other), len(x)
    chance = [correlation(one, other[np.ix_(p, p)]) for p in (draws.permutation(n) for _ in range(DRAWS))]
    # the jackknife, since resampling would pair a record with itself
    rests = [np.delete(np.arange(n), left_out) for left_out in range(n)]
    without = np.array([correlation(one[np.ix_(r, r)], other[np.ix_(r, r)]) for r in rests])
    half = Z95 * float(np.sqrt((n - 1) * without.var()))
    low, high = max(0.0, value - half), min(1.0, value + half)
    return Measure("distance_correlation", value, float(np.mean(chance)), low, high, n)


def correlation(one: Floats, other: Floats) -> float:
    """Give R of two distance matrices (n, n): 0 in the limit where independent, 1 where proportional."""
    a, b = _centred(one), _centred(other)
    within = (a * a).mean() * (b * b).mean()
    return float(np.sqrt(max((a * b).mean(), 0.0) / np.sqrt(within))) if within > 0 else 0.0


def _centred(distances: Floats) -> Floats:
    rows, columns = distances.mean(axis=0, keepdims=True), distances.mean(axis=1, keepdims=True)
    centred: Floats = distances - rows - columns + distances.mean()
    return centred
