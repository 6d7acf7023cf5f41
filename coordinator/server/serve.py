"""``python -m coordinator serve``: coordinate one run, or one agreement, from Hello to Bye."""

import argparse
from collections.abc import Mapping
from functools import partial
from typing import Final

from coordinator import specs
from coordinator.importing import load
from coordinator.lifeline import Lifeline
from coordinator.outcome import recorded, write_bytes
from coordinator.party_options import add_party_options
from coordinator.protocol.admission import Admitted
from coordinator.protocol.channel import CoordinatorChannel
from coordinator.protocol.keys import COORDINATOR, read_secret
from coordinator.protocol.sockets import Router
from coordinator.specs import Agreement, Estimation, Run

# what a spec's kind asks for; an agreement and an estimation run without torch
WORK: Final[Mapping[str, str]] = {
    "agreement": "coordinator.server.agreeing",
    "estimation": "coordinator.server.estimating",
    "run": "coordinator.server.training",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_party_options(parser)
    parser.add_argument("--endpoint", required=True, help="ipc://PATH or tcp://HOST:PORT (port 0: any)")


def run(options: argparse.Namespace) -> int:
    """Coordinate, and record how it ended."""
    return recorded(COORDINATOR, options.state, partial(_serve, options))


def _serve(options: argparse.Namespace) -> None:
    lifeline = Lifeline() if options.lifeline else None
    work = load(WORK[specs.kind_of(options.spec)])
    work.coordinate(options, partial(open_channel, options, lifeline))


def open_channel(
    options: argparse.Namespace,
    lifeline: Lifeline | None,
    spec: Run | Agreement | Estimation,
    limit: int,
    ahead: int,
) -> CoordinatorChannel:
    """Listen for the parties of a spec, and publish where."""
    secret = read_secret(options.secret)
    parties = spec.parties if isinstance(spec, Run) else spec.sites
    link = Router(options.endpoint, secret.curve, Admitted(options.manifest, parties).keys, lifeline)
    write_bytes(options.state / "endpoint", link.endpoint.encode())
    return CoordinatorChannel(link, parties, spec=specs.run_digest(spec), limit=limit, ahead=ahead)
