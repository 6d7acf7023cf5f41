"""``python -m sites join``: one site's part in a run, or in an agreement, from Hello to Bye."""

import argparse
import sys
from collections.abc import Mapping
from functools import partial
from typing import Final

from coordinator import specs
from coordinator.importing import load
from coordinator.lifeline import Lifeline
from coordinator.outcome import recorded
from coordinator.party_options import add_party_options
from coordinator.protocol.channel import SiteChannel
from coordinator.protocol.keys import COORDINATOR, Manifest, Secret, read_manifest, read_secret
from coordinator.protocol.messages import Hello, Welcome
from coordinator.protocol.sockets import Dealer
from coordinator.specs import Agreement, Prediction, Run
from sites.gate import open_channel

# what a spec's kind asks for; an agreement runs without torch
WORK: Final[Mapping[str, str]] = {"agreement": "sites.agreeing", "run": "sites.training"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_party_options(parser)
    parser.add_argument("--site", required=True, help="this site's name")
    parser.add_argument("--endpoint", required=True, help="where the coordinator listens")


def run(options: argparse.Namespace) -> int:
    """Take part, and record how it ended."""
    return recorded(options.site, options.state, partial(_join, options))


def _join(options: argparse.Namespace) -> None:
    lifeline = Lifeline() if options.lifeline else None
    work = load(WORK[specs.kind_of(options.spec)])
    work.take_part(options, Keys(options, lifeline))


class Keys:
    """A site's secret and everyone's public keys, and what can be opened with them."""

    def __init__(self, options: argparse.Namespace, lifeline: Lifeline | None) -> None:
        """Read the key files; ``lifeline`` ends waiting."""
        self._options, self._lifeline = options, lifeline
        self.manifest: Manifest = read_manifest(options.manifest)
        self.secret: Secret = read_secret(options.secret)

    def enter(self, spec: Run | Agreement | Prediction, limit: int) -> tuple[SiteChannel, Welcome]:
        """Connect through the release gate and wait until the coordinator says Welcome."""
        options, site = self._options, self._options.site
        link = Dealer(
            options.endpoint,
            self.manifest[COORDINATOR].curve,
            self.secret.curve,
            self.manifest[site].curve,
            self._lifeline,
        )
        channel = open_channel(spec, link, options.state / "ledger.jsonl", limit=limit)
        welcome = channel.enter(Hello(site, specs.digest(spec), 0), _refused)
        return channel, welcome


def _refused(times: int) -> None:
    print(
        f"the coordinator refused this site's key (refusal {times}): is it in the manifest? trying again",
        file=sys.stderr,
        flush=True,
    )
