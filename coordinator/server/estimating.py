"""The coordinator's side of an estimation: it hears estimates, and writes them; needs no torch."""

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from coordinator import specs
from coordinator.algorithms.estimating import coordinator_estimate
from coordinator.outcome import write_json
from coordinator.protocol.channel import CoordinatorChannel
from coordinator.protocol.messages import Estimated
from coordinator.server.events import say, still_waiting
from coordinator.specs import Estimation

ESTIMATES_LIMIT = 64 * 1024 * 1024  # bytes one site's estimates may have


def coordinate(options: argparse.Namespace, open_channel: Callable[..., CoordinatorChannel]) -> None:
    """Hear the sites, and write ``out/estimates.json``."""
    spec, started = specs.read(Estimation, options.spec), time.monotonic()
    say(event="start", run=f"{spec.study}/{spec.task}/estimate", rounds=1, trials=1, steps=1)
    channel = open_channel(spec, ESTIMATES_LIMIT, 2 * ESTIMATES_LIMIT)
    channel.admit(still_waiting)
    channel.welcome(())
    heard = coordinator_estimate(spec, channel)
    sites = {site: _plain(told) for site, told in heard.items()}
    write_json(options.state / "out" / "estimates.json", {"runs": list(spec.runs), "sites": sites})
    channel.finish()
    channel.dismiss()
    channel.close()
    say(event="done", seconds=time.monotonic() - started)


def _plain(told: Estimated) -> dict[str, Any]:
    """Give a message as JSON has it; NaN becomes null."""
    fields = {name: getattr(told, name) for name in told.__struct_fields__}
    return {
        name: np.where(np.isnan(value), None, value).tolist()  # type: ignore[call-overload]
        if isinstance(value, np.ndarray)
        else value
        for name, value in fields.items()
    }
