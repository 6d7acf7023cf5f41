"""TabLeak (Vero 2023): rows of a table with numbers and words from an update.

Words are searched as a softmax (`layout`); several searches from different starts are brought into one
order and pooled, the median of numbers and the mean of words' probabilities; and how much they disagree says,
without the truth, which cells to believe (section 4.3).
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from torch import Tensor

from coordinator.attacks.gradient_inversion import Guess, invert
from coordinator.attacks.layout import MAKERS, Layout
from coordinator.attacks.local_round import Update
from coordinator.draws import key

Floats = NDArray[np.float64]


class Leaked(NamedTuple):
    """Rows (records, columns), labels (records,), and how uncertain each number and word is.

    `uncertainty` is (records, numbers + words), in nats, from one feature to another comparable only.
    """

    table: Floats
    labels: Floats
    uncertainty: Floats


def tableak(
    update: Update, layout: Layout, *, iterations: int, members: int, seed: int, labels: Tensor | None = None
) -> Leaked:
    """Pool several searches.

    Args:
        update: what was seen.
        layout: of a record, which is a table.
        iterations: of each search.
        members: how many searches.
        seed: keys their starts.
        labels: (records,), where they are known.
    """
    found = [
        invert(update, layout, objective="cosine", iterations=iterations, labels=labels,
               seed=key(seed, "tableak", member) >> 1)
        for member in range(members)
    ]  # fmt: skip
    best = min(found, key=lambda guess: guess.loss)
    tables, every = [], []
    for guess in found:
        table, order = _in_order_of(best, guess, layout, fixed=labels)
        tables.append(table[order])
        every.append(guess.labels.double().numpy()[order])
    stacked = np.stack(tables)  # (members, records, columns)
    pooled = stacked.mean(axis=0)
    pooled[:, : layout.numbers] = np.median(stacked[:, :, : layout.numbers], axis=0)
    return Leaked(pooled, np.mean(every, axis=0), uncertainty(stacked, layout))


def uncertainty(tables: Floats, layout: Layout) -> Floats:
    """Give the entropy of what searches found (members, records, columns): (records, numbers + words).

    Of a number that of a normal distribution of their spread, of a word that of its mean probabilities.
    """
    spread = tables[:, :, : layout.numbers].std(axis=0)
    found = [0.5 * np.log(2 * np.pi * np.e * np.maximum(spread, 1e-6) ** 2)]
    mean = tables.mean(axis=0)
    for columns in word_columns(layout):
        chance = np.clip(mean[:, columns], 1e-12, 1)
        found.append(-(chance * np.log(chance)).sum(axis=1, keepdims=True))
    return np.concatenate(found, axis=1)


def word_columns(layout: Layout) -> list[slice]:
    """Give each word's columns of a table."""
    edges = np.cumsum([layout.numbers + layout.flags, *layout.words])
    return [slice(int(a), int(b)) for a, b in pairwise(edges)]


def rows_matched(one: Floats, other: Floats) -> NDArray[np.int64]:
    """Order the rows of `other` so that each is nearest to its row of `one` (the Hungarian method)."""
    order: NDArray[np.int64] = linear_sum_assignment(cdist(one, other, "cityblock"))[1]
    return order


def _in_order_of(
    best: Guess, guess: Guess, layout: Layout, *, fixed: Tensor | None
) -> tuple[Floats, NDArray[np.int64]]:
    first, own = (MAKERS["table"](layout, each.free["table"]).double().numpy() for each in (best, guess))
    if fixed is None:
        return own, rows_matched(first, own)
    order = np.arange(len(own))  # rows of one known label alone can stand for one another
    for label in torch.unique(fixed):
        here = np.flatnonzero((fixed == label).numpy())
        order[here] = here[rows_matched(first[here], own[here])]
    return own, order
