"""The coordinator's side of an agreement on statistics; needs no torch."""

import argparse
import time
from collections.abc import Callable

from coordinator import specs
from coordinator.algorithms.agree import coordinator_agree
from coordinator.outcome import write_json
from coordinator.protocol.channel import CoordinatorChannel
from coordinator.server.events import say, still_waiting
from coordinator.specs import Agreement
from coordinator.statistics import left_out

AGGREGATES_LIMIT = 64 * 1024 * 1024  # bytes one site's aggregates may have


def coordinate(options: argparse.Namespace, open_channel: Callable[..., CoordinatorChannel]) -> None:
    """Merge what the sites send, and write ``out/statistics.json``."""
    spec, started = specs.read(Agreement, options.spec), time.monotonic()
    say(event="start", run=f"{spec.study}/{spec.task}/agree/{spec.seed}", rounds=1, trials=1, steps=1)
    channel = open_channel(spec, AGGREGATES_LIMIT, 2 * AGGREGATES_LIMIT)
    channel.admit(still_waiting)
    channel.welcome(())
    statistics = coordinator_agree(spec, channel)
    write_json(options.state / "out" / "statistics.json", statistics)
    how = f"normalisation kept from {spec.frozen}" if spec.frozen else left_out(statistics)
    say(event="note", text=how)
    channel.finish()
    channel.dismiss()
    channel.close()
    say(event="done", seconds=time.monotonic() - started)
