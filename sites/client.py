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
from coordinator.errors import ConfigError
from coordinator.importing import load
from coordinator.lifeline import Lifeline
from coordinator.outcome import recorded
from coordinator.party_options import add_party_options
from coordinator.protocol.dealer import Dealer
from coordinator.protocol.keys import COORDINATOR, Manifest, Secret, read_manifest, read_secret
from coordinator.protocol.messages import Hello, Welcome
from coordinator.protocol.seals import Sealer, Seals
from coordinator.protocol.signing import Signer
from coordinator.protocol.site_channel import SiteChannel
from coordinator.specs import Agreement, Estimation, Run
from sites.approval import check_join
from sites.budget import Visits
from sites.container import check_container
from sites.far_gate import FarGate, Witness
from sites.gate import Work, channel_without_gate, open_channel
from sites.lifetime import reserve
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
    add_party_options(parser, keys=False)
    parser.add_argument("--site", required=True, help="this site's name")
    parser.add_argument("--endpoint", help="where the coordinator listens")
    parser.add_argument(
        "--gate", type=Path, metavar="SOCKET", help="of `python -m sites gate`, in place of keys and endpoint"
    )
    parser.add_argument("--policy", type=Path, help="this site's policy.yaml: what its steward approved")


def run(options: argparse.Namespace) -> int:
    """Take part, and record how it ended."""
    return recorded(options.site, options.state, partial(_join, options))


def check(options: argparse.Namespace, policy: Policy | None) -> None:
    """Refuse options that do not go together.

    Raises:
        ConfigError: naming them.
    """
    given = {name: getattr(options, name) for name in ("secret", "manifest", "endpoint", "policy")}
    if options.gate:
        if found := [f"--{name}" for name, value in given.items() if value]:
            raise ConfigError(f"{', '.join(found)}: what the gate outside holds is not given here as well")
        return
    if lacking := [f"--{name}" for name in ("secret", "manifest", "endpoint") if not given[name]]:
        raise ConfigError(f"{', '.join(lacking)}: missing; name them, or the --gate that holds them")
    if policy and policy.gate == "outside":
        raise ConfigError(
            f"{options.policy}: gate: outside, so training has no key; start `python -m sites gate` with "
            "the same options and --listen SOCKET, and join with --gate SOCKET"
        )


def _join(options: argparse.Namespace) -> None:
    check_container(options.site)
    lifeline = Lifeline() if options.lifeline else None
    work = load(WORK[specs.kind_of(options.spec)])
    policy = read_policy(options.policy) if options.policy else None
    check(options, policy)
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
        self._far: FarGate | None = None
        self.manifest: Manifest = {} if self._outside else read_manifest(options.manifest)
        self.secret: Secret | None = None if self._outside else read_secret(options.secret)

    @property
    def _outside(self) -> Path | None:
        """Give the socket of a gate that holds the keys, where they are not here."""
        found: Path | None = getattr(self._options, "gate", None)
        return found

    def read(self, kind: type[Spec]) -> Spec:
        """Read the spec, which must be what the steward approved if there is a policy.

        Raises:
            ConfigError: it is another, or for other parties or code.
        """
        options = self._options
        spec = specs.read(kind, options.spec)
        if self._policy:
            check_join(self._policy, options.policy, options.site, spec, self.manifest)
        elif not self._outside:
            print(f"{options.site}: no policy: all that this way to train releases leaves", file=sys.stderr)
        return spec

    def reserve(self, run: Run, secret: bytes) -> None:
        """Take a run's budget from what the policy says that patients may tell over all runs."""
        if self._policy:
            reserve(self._policy, self._options.policy, run, secret)

    def open(self, spec: Work, limit: int, visits: Visits | None = None) -> tuple[SiteChannel, Witness]:
        """Connect through the release gate; ``visits`` count releases by record."""
        options, site = self._options, self._options.site
        if self._outside or self.secret is None:
            self._far = FarGate(options.gate, self._lifeline)
            return channel_without_gate(self._far, limit=limit), self._far
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

    def sealer(self) -> Seals:
        """Give what seals parts for other sites, and opens theirs; of a gate outside, once it is open."""
        if self.secret is None:
            assert self._far is not None
            return self._far
        return Sealer(self.secret, self.manifest)

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
        way = self._options.endpoint or "the gate's other side"
        say(site, f"asking the coordinator at {way} to begin")
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
