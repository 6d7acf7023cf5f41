"""A site's side of an agreement on statistics: aggregates of its training rows, never a row."""

import argparse
from pathlib import Path

from coordinator.algorithms.agree import site_agree
from coordinator.outcome import write_json
from coordinator.protocol.messages import Done
from coordinator.specs import Agreement
from sites.aggregates import aggregate
from sites.client import Keys

STATISTICS_LIMIT = 64 * 1024 * 1024  # bytes


def take_part(options: argparse.Namespace, keys: Keys) -> None:
    """Send the aggregates, and keep what all agreed on."""
    spec = keys.read(Agreement)
    aggregates = aggregate(Path(spec.prepared[options.site]), spec.seed, spec.validation, spec.min_cell)
    channel, _ = keys.open(spec, STATISTICS_LIMIT)
    keys.enter(channel, spec)
    statistics = site_agree(aggregates, channel)
    write_json(options.state / "statistics.json", statistics)
    channel.leave(Done({}, {}))
