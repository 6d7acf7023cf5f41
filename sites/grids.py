"""Irregular measurements to a grid of equal steps: a cell is the mean of what was measured within it.

The mean and not the last value: of several readings within a step each may be an artefact, and a mean is
the less noisy one. Hence impossible values are taken out first; within a mean nobody would find them.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sites.reading import Feature

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
ROUNDING = 1e-9  # hours are sums of fractions: 3 x 0.1 is a little above 0.3


class Events(NamedTuple):
    """Measurements (m,): whose (an index), hours after admission, which variable (an index), the value."""

    record: Integers
    hours: Floats
    variable: Integers
    values: Floats

    def where(self, chosen: npt.NDArray[np.bool_]) -> "Events":
        """Choose some of them."""
        return Events(self.record[chosen], self.hours[chosen], self.variable[chosen], self.values[chosen])


def window(events: Events, hours: float) -> Events:
    """Keep what was measured from admission on and before `hours`: what comes later is not known by then."""
    return events.where((events.hours >= 0) & (events.hours < hours - ROUNDING))


def plausible(events: Events, variables: Sequence[Feature]) -> tuple[Events, dict[str, int]]:
    """Take values outside their variables' limits out, and count them by variable."""
    low = np.array([-np.inf if each.low is None else each.low for each in variables])
    high = np.array([np.inf if each.high is None else each.high for each in variables])
    kept = (events.values >= low[events.variable]) & (events.values <= high[events.variable])
    outside = np.bincount(events.variable[~kept], minlength=len(variables))
    counts = {each.name: int(count) for each, count in zip(variables, outside, strict=True) if count}
    return events.where(kept), counts


def grid(
    events: Events, records: int, variables: int, *, hours: float, step_hours: float
) -> npt.NDArray[np.float32]:
    """Average the events of each cell: (records, steps, variables), NaN where there are none.

    Step s covers the hours from s * step_hours to (s + 1) * step_hours; the last one ends at `hours`.
    """
    steps = steps_of(hours, step_hours)
    known = window(events, hours)
    step = np.minimum(np.floor(known.hours / step_hours + ROUNDING).astype(np.int64), steps - 1)
    cell = (known.record * steps + step) * variables + known.variable
    cells = records * steps * variables
    count = np.bincount(cell, minlength=cells)
    total = np.bincount(cell, weights=known.values, minlength=cells)
    mean = np.divide(total, count, out=np.full(cells, np.nan), where=count > 0)
    return mean.astype(np.float32).reshape(records, steps, variables)


def steps_of(hours: float, step_hours: float) -> int:
    """Count the steps that cover `hours`."""
    return max(1, math.ceil(hours / step_hours - ROUNDING))


def latest(events: Events, variables: Sequence[Feature], hours: float) -> dict[str, float]:
    """Say how long before `hours` (below 0) each variable's last event was, for the leak guard."""
    last = np.full(len(variables), -np.inf)
    np.maximum.at(last, events.variable, events.hours)
    return {each.name: float(at) - hours for each, at in zip(variables, last, strict=True) if np.isfinite(at)}
