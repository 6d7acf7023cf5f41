"""Estimating without scores: each site's estimates of its own test records go up, and nothing comes down."""

from typing import Final

import numpy as np

from coordinator.errors import ProtocolError
from coordinator.protocol.channel import CoordinatorChannel
from coordinator.protocol.messages import Array, Estimated
from coordinator.protocol.site_channel import SiteChannel
from coordinator.specs import Estimation

LONGEST_REASON: Final = 200  # characters


def site_estimate(told: Estimated, channel: SiteChannel) -> None:
    """Send what this site found."""
    channel.send(told)


def coordinator_estimate(spec: Estimation, channel: CoordinatorChannel) -> dict[str, Estimated]:
    """Hear every site.

    Raises:
        ProtocolError: what one says cannot be true.
    """
    heard = dict(zip(channel.sites, channel.gather(Estimated), strict=True))
    for site, told in heard.items():
        if why := impossible(spec, told):
            raise ProtocolError(f"'{site}' sent estimates that cannot be: {why}", site)
    return heard


def impossible(spec: Estimation, told: Estimated) -> str:
    """Say what about a site's estimates cannot be true; empty: nothing."""
    runs, metrics = len(spec.runs), len(told.metrics)
    strategies = len({run.split("/")[0] for run in spec.runs})
    shapes = {
        "areas": (runs,), "covariance": (runs, runs), "groups": (len(told.groups), 5), "same": (runs,),
        "values": (runs, metrics, 3), "means": (strategies, metrics, 2),
    }  # fmt: skip
    for name, shape in shapes.items():
        found = getattr(told, name)
        if found.shape != shape or found.dtype != _DTYPES.get(name, np.dtype(np.float64)):
            return f"{name} has the shape {found.shape}, expected {shape}"
    if not -1 <= told.events <= told.n or not -1 <= told.patients <= told.n:
        return f"{told.events} events and {told.patients} patients of {told.n} records"
    if not _between(told.areas, 0, 1) or not _between(told.same, 0, runs - 1):
        return "an AUROC or a number of a run lies outside its limits"
    if any(len(why) > LONGEST_REASON for why in told.reasons.values()):
        return f"a reason of more than {LONGEST_REASON} characters"
    return _impossible_groups(spec, told)


_DTYPES: Final = {"groups": np.dtype(np.int64), "same": np.dtype(np.int64)}


def _impossible_groups(spec: Estimation, told: Estimated) -> str:
    groups = told.groups
    if (groups[:, 4] < spec.min_cell).any():
        return f"a group of fewer than {spec.min_cell} records"
    for run in np.unique(groups[:, 0]):
        counts = [groups[(groups[:, 0] == run) & (groups[:, 1] == k), 4].sum() for k in (0, 1)]
        if counts != [told.n - told.events, told.events]:
            return f"groups of {counts} records, {told.events} of {told.n} have the outcome"
    return ""


def _between(values: Array, low: float, high: float) -> bool:
    known = values[~np.isnan(values)] if values.dtype.kind == "f" else values
    return bool(((known >= low) & (known <= high)).all())
