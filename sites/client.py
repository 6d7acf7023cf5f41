"""``python -m sites join``: one site's part in a run, or in an agreement, from Hello to Bye."""

import argparse
import secrets
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Final, TypeVar

from coordinator import specs
from coordinator.config import Policy
from coordinator.importing import load
from coordinator.lifeline import Lifeline
from coordinator.outcome import recorded
from coordinator.party_options import add_party_options
from coordinator.protocol.keys import COORDINATOR, Manifest, Secret, read_manifest, read_secret
from coordinator.protocol.messages import Hello, Welcome
from coordinator.protocol.signing import Signer
from coordinator.protocol.site_channel import SiteChannel
from coordinator.protocol.sockets import Dealer
from coordinator.specs import Agreement, Estimation, Run
from sites.approval import check_join
from sites.budget import Visits
from sites.gate import Gate, Work, open_channel
from sites.policy import read_policy

Spec = TypeVar("Spec", Run, Agreement, Estimation)

# what a spec's kind asks for; an agreement and an estimation run without torch
WORK: Final[Mapping[str, str]] = {
    "agreement": "sites.agreeing",
    "estimation": "sites.estimating",
    "run": "sites.training",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_party_options(parser)
    parser.add_argument("--site", required=True, help="this site's name")
    parser.add_argument("--endpoint", required=True, help="where the coordinator listens")
    parser.add_argument("--policy", type=Path, help="this site's policy.yaml: what its steward approved")


def run(options: argparse.Namespace) -> int:
    """Take part, and record how it ended."""
    return recorded(options.site, options.state, partial(_join, options))


def _join(options: argparse.Namespace) -> None:
    lifeline = Lifeline() if options.lifeline else None
    work = load(WORK[specs.kind_of(options.spec)])
    policy = read_policy(options.policy) if options.policy else None
    work.take_part(options, Keys(options, lifeline, policy))
    say(options.site, f"done; what this site keeps of it lies in {options.state}")


class Keys:
    """A site's secret and everyone's public keys, and what can be opened with them."""

    def __init__(
        self, options: argparse.Namespace, lifeline: Lifeline | None, policy: Policy | None = None
    ) -> None:
        """Read the key files; ``lifeline`` ends waiting, ``policy`` is what the site's steward approved."""
        self._options, self._lifeline, self._policy = options, lifeline, policy
        self._session = 1 + secrets.randbits(62)  # this process's
        self.manifest: Manifest = read_manifest(options.manifest)
        self.secret: Secret = read_secret(options.secret)

    def read(self, kind: type[Spec]) -> Spec:
        """Read the spec, which must be what the steward approved if there is a policy.

        Raises:
            ConfigError: it is another, or for other parties or code.
        """
        options = self._options
        spec = specs.read(kind, options.spec)
        if self._policy:
            check_join(self._policy, options.policy, options.site, spec, self.manifest)
        else:
            print(f"{options.site}: no policy: all that this way to train releases leaves", file=sys.stderr)
        return spec

    def open(self, spec: Work, limit: int, visits: Visits | None = None) -> tuple[SiteChannel, Gate]:
        """Connect through the release gate; ``visits`` count releases by record."""
        options, site = self._options, self._options.site
        link = Dealer(
            options.endpoint,
            self.manifest[COORDINATOR].curve,
            self.secret.curve,
            self.manifest[site].curve,
            self._lifeline,
        )
        signer = Signer(site, self.secret, lambda: self.manifest, specs.run_digest(spec))
        ledger = options.state / "ledger.jsonl"
        return open_channel(
            spec, link, ledger, limit=limit, policy=self._policy, visits=visits, signer=signer
        )

    def enter(
        self,
        channel: SiteChannel,
        spec: Work,
        commits: Mapping[int, str] = MappingProxyType({}),
        *,
        again: bool = False,
        seconds: float | None = None,
    ) -> Welcome:
        """Wait until the coordinator says Welcome; `commits` can be gone on from, by number, with hashes."""
        site = self._options.site
        say(site, f"asking the coordinator at {self._options.endpoint} to begin")
        hello = Hello(site, specs.run_digest(spec), 0, dict(commits), self._session)
        welcome = channel.enter(hello, _refused, again=again, seconds=seconds)
        say(site, "the coordinator says begin")
        return welcome


def say(site: str, what: str) -> None:
    """Tell the operator, who would otherwise see nothing for as long as all goes well."""
    print(f"{site}: {what}", file=sys.stderr, flush=True)


def _refused(times: int) -> None:
    print(
        f"the coordinator refused this site's key, or broke off the handshake ({times} times): is it in its "
        "manifest, and the coordinator's in this one? trying again",
        file=sys.stderr,
        flush=True,
    )
