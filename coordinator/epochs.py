"""One pass over a site's records: their order, and the batches it is cut into."""

from itertools import pairwise
from typing import Any

import numpy as np

from coordinator.draws import key
from coordinator.models.catalog import has_batch_norm
from coordinator.specs import Run

Indices = np.ndarray[Any, np.dtype[np.int64]]


def epoch(run: Run, round_: int, site: int, pass_: int, records: int) -> list[Indices]:
    """Shuffle a site's records and cut them into batches; the last may be smaller."""
    order, size = shuffle(run, round_, site, pass_, records), run.training.batch_size
    edges = [*(step * size for step in range(batches_in(run, records))), records]
    return [order[start:end] for start, end in pairwise(edges)]


def batches_in(run: Run, records: int) -> int:
    """Count the batches of a pass; with batch norm, a last one of one record joins the one before."""
    full, rest = divmod(records, run.training.batch_size)
    joins = rest == 1 and full > 0 and has_batch_norm(run.model)
    return full + (rest > 0 and not joins)


def shuffle(run: Run, round_: int, site: int, pass_: int, records: int) -> Indices:
    """Put a site's records into the order of a pass."""
    order: Indices = np.random.default_rng(key(run.seed, "shuffle", round_, site, pass_)).permutation(records)
    return order
