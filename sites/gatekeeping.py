"""``python -m sites gate``: a site's release gate as a process of its own (`gate: outside`).

It holds the site's keys, policy and ledger and alone speaks to the coordinator. The process that trains, and
may run a study's own code on records, has no network and no key, only a local socket to this one.
"""

import argparse
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from coordinator import specs
from coordinator.errors import ConfigError
from coordinator.importing import load
from coordinator.lifeline import Lifeline
from coordinator.outcome import recorded
from coordinator.party_options import add_party_options
from coordinator.protocol.dealer import Dealer
from coordinator.protocol.keys import COORDINATOR, Manifest, Secret, read_manifest, read_secret
from coordinator.protocol.line import WAIT_SECONDS
from coordinator.protocol.seals import Sealer
from coordinator.protocol.signing import Signer
from coordinator.specs import Run
from sites.approval import check_join
from sites.container import check_container
from sites.far_gate import LARGEST_ITEM
from sites.gate import Gate
from sites.passage import Passage
from sites.pipe import ANSWER, FRAMES, REFUSED, Pipe
from sites.policy import read_policy

# what a spec's kind asks for, which a fork server imports before
WORK: Final[Mapping[str, str]] = {
    "agreement": "sites.passage",
    "estimation": "sites.passage",
    "run": "sites.visits",
}
PARTY_ENDING: Final = "-gate"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_party_options(parser)
    parser.add_argument("--site", required=True, help="this site's name")
    parser.add_argument("--endpoint", required=True, help="where the coordinator listens")
    parser.add_argument("--policy", type=Path, help="this site's policy.yaml: what its steward approved")
    parser.add_argument(
        "--listen", type=Path, required=True, metavar="SOCKET", help="where the training process finds it"
    )


def run(options: argparse.Namespace) -> int:
    """Stand between, and record how it ended."""
    return recorded(f"{options.site}{PARTY_ENDING}", options.state, partial(_stand, options))


def _stand(options: argparse.Namespace) -> None:
    check_container(options.site)
    lifeline = Lifeline() if options.lifeline else None
    manifest, secret = read_manifest(options.manifest), read_secret(options.secret)
    passage = _passage(options, manifest, secret)
    with listening(options.listen) as door:
        while not passage.over:
            pipe = _opened(door, lifeline)
            if pipe is None:
                continue
            dealer = Dealer(
                options.endpoint, manifest[COORDINATOR].curve, secret.curve, manifest[options.site].curve,
                lifeline,
            )  # fmt: skip
            try:
                let_through(pipe, dealer, passage)
            finally:
                pipe.close()
                dealer.close()


def _passage(options: argparse.Namespace, manifest: Manifest, secret: Secret) -> Passage:
    kind = specs.kind_of(options.spec)
    spec = specs.read_any(options.spec)
    policy = read_policy(options.policy) if options.policy else None
    if policy:
        check_join(policy, options.policy, options.site, spec, manifest)
    else:
        print(f"{options.site}: no policy: all that this way to train releases leaves", file=sys.stderr)
    visits = None
    if isinstance(spec, Run):  # which needs torch, as its training does
        visits = load(WORK[kind]).visits_from(spec, options.statistics, options.site)
    signer = Signer(options.site, secret, lambda: manifest, specs.run_digest(spec))
    gate = Gate(spec, options.state / "ledger.jsonl", policy, visits, signer)
    return Passage(gate, options.site, spec, Sealer(secret, manifest), visits)


def let_through(pipe: Pipe, dealer: Dealer, passage: Passage) -> None:
    """Let messages through until either side's connection ends."""
    dealer.pointless = pipe.is_cut
    passage.join(dealer.send, lambda frames: pipe.send(FRAMES, *frames))
    while True:
        while item := pipe.next():
            kind, parts = item
            if kind == FRAMES and parts:
                passage.up(list(parts))
            else:
                pipe.send(ANSWER, *passage.answer(kind, parts))
        if pipe.ended:
            return
        if dealer.heard(WAIT_SECONDS, pipe.fileno()):
            if frames := dealer.receive(0):
                passage.down(frames)
            elif dealer.refusals:
                pipe.send(REFUSED)
                return
            elif dealer.connections_lost:
                return


@contextmanager
def listening(path: Path) -> Iterator[socket.socket]:
    """Listen on a local socket, for this user alone; one that a killed process left is replaced."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
        try:
            door.bind(str(path))
        except OSError as error:
            raise ConfigError(
                f"--listen {path}: cannot listen here ({error.strerror or error}); choose a shorter path "
                "in a folder that this process may write to"
            ) from None
        path.chmod(0o600)
        door.listen(1)
        yield door
    path.unlink(missing_ok=True)


def _opened(door: socket.socket, lifeline: Lifeline | None) -> Pipe | None:
    """Give the connection of who comes next, None after a while in which nobody did."""
    door.settimeout(WAIT_SECONDS)
    if lifeline:
        lifeline.check()
    try:
        connection, _ = door.accept()
    except TimeoutError:
        return None
    return Pipe(connection, LARGEST_ITEM)
