"""The release gate: every byte that leaves a site passes here, is allowed by policy and is written down.

Only this module makes a site's channel.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from coordinator.config import Limits, Policy
from coordinator.errors import ConfigError
from coordinator.protocol.keys import COORDINATOR
from coordinator.protocol.line import SiteLink
from coordinator.protocol.messages import Committed, Kept, Message
from coordinator.protocol.signing import COMMITTED, KEPT, Signer
from coordinator.protocol.site_channel import SiteChannel
from coordinator.specs import Agreement, Estimation, Prediction, Run, run_digest
from coordinator.walking import keeps_apart, may_lose
from sites.budget import Account, Spent, Visits, account_of
from sites.incoming import check_incoming
from sites.ledger import HELLO, RECEIPT, WENT_ON, Ledger, chained

Work = Run | Agreement | Estimation | Prediction
LABELS: Final = "labels"  # beside the activations that carry them
CONVERSATION: Final = "conversation"  # always allowed
# of which the coordinator learns the sum over the sites alone
MASKED: Final = "masked weights"
# what each kind of release is called in a policy
RELEASES: Final[Mapping[str, str]] = {
    "Hello": CONVERSATION,
    "Committed": CONVERSATION,
    "Done": CONVERSATION,
    "Aggregated": "aggregates",
    "Estimated": "estimates",
    "Validated": "metrics",
    "Budgeted": "metrics",
    "Activations": "activations",
    "HeadGradient": "activations",
    "Sealed": "sealed parts",
    "Weights": "weights",
    "Gradients": "gradients",
    "Norms": "gradient norms",
    "SumKeys": MASKED,
    "SumShares": MASKED,
    "SumMasked": MASKED,
    "SumUnmasking": MASKED,
}
# what a site releases under each way to train; anything else is refused
ALLOWED: Final[Mapping[str, frozenset[str]]] = {
    "agreement": frozenset({CONVERSATION, "aggregates"}),
    "estimation": frozenset({CONVERSATION, "estimates"}),
    "local": frozenset({CONVERSATION, "metrics"}),
    "federated": frozenset({CONVERSATION, "metrics", "weights"}),
    "cyclic": frozenset({CONVERSATION, "metrics", "sealed parts"}),
    "split": frozenset({CONVERSATION, "metrics", "activations"}),
    "prediction": frozenset({CONVERSATION, "activations"}),
}
# where a run may go on without a site: what another one gives it when it is back, sealed
OF_CATCHING_UP: Final = "sealed parts"
# beside that, what becomes of a site's parts in split learning; private ones do not leave at all
OF_PARTS: Final[Mapping[str, str]] = {
    "handed_on": "sealed parts",
    "averaged": "weights",
    "synchronous": "gradients",
}
# where the whole model's gradient is clipped and no party has it all; a joint step's sum is the coordinator's
OF_CLIPPING: Final = "gradient norms"


def way_of(spec: Work) -> str:
    """Name the way to train, as `ALLOWED` has it."""
    return spec.algorithm if isinstance(spec, Run) else spec.kind


def released_by(spec: Work) -> frozenset[str]:
    """Name the kinds of release that a spec needs, and labels where they are shared."""
    allowed = ALLOWED[way_of(spec)]
    if isinstance(spec, Run) and may_lose(spec) and not keeps_apart(spec):
        allowed |= {OF_CATCHING_UP}
    if not isinstance(spec, Run):
        return allowed
    if spec.algorithm == "split" and spec.site_parts in OF_PARTS:
        allowed |= {OF_PARTS[spec.site_parts]}
    if spec.secure_aggregation:
        allowed = allowed - {"weights"} | {MASKED}
    if spec.algorithm != "split":
        return allowed
    clip = spec.training.clip
    if clip and clip.scope == "global" and spec.back != "joint":
        allowed |= {OF_CLIPPING}
    return allowed | {LABELS} if spec.labels == "shared" else allowed


class Gate:
    """Decides on each message, and keeps the ledger."""

    def __init__(
        self,
        spec: Work,
        ledger: Path,
        policy: Policy | None = None,
        visits: Visits | None = None,
        signer: Signer | None = None,
    ) -> None:
        """Open the ledger, after what an earlier attempt released; without a policy nothing limits how much.

        Args:
            spec: what is taken part in.
            ledger: the site's file.
            policy: the site's.
            visits: count by record, where activations leave.
            signer: signs the ledger's heads at commits, and checks the coordinator's receipts.

        Raises:
            DataError: there is a policy, and its limits cannot be held against a ledger that was changed.
        """
        self._way, self._allowed = way_of(spec), released_by(spec)
        self._permitted = {*policy.releases, CONVERSATION} if policy else set(self._allowed)
        self._spec, self._ledger = run_digest(spec), Ledger(ledger)
        self._signer, self._heads = signer, dict[int, str]()
        self._largest = policy.largest_gradient if policy else None
        self._account = Account(Limits(), Spent())
        if policy:
            lines = (entry for _, _, entry in chained(ledger) if entry)
            self._account = account_of(policy.limits, lines, self._spec, visits)

    def release(self, message: Message, size: int) -> None:
        """Write a message's kind, place and size down before it leaves.

        Raises:
            ConfigError: it may not leave under this way to train or this site's policy, or goes over a limit.
        """
        name = type(message).__name__
        labels = getattr(message, "labels", None) is not None
        what = f"{name} with labels" if labels else name
        self._check_kinds([RELEASES.get(name, name), *([LABELS] if labels else [])], what)
        place = (message.number,) if isinstance(message, Committed) else getattr(message, "position", ())
        self._account.spend(name, tuple(place), size, what)
        more = {"spec": self._spec} if name == HELLO else {}
        self._ledger.write(name, tuple(place), size, labels=labels, **more)

    def release_again(self, message: Message, size: int) -> None:
        """Write down that a message which had left is sent once more, after its connection was cut.

        Raises:
            ConfigError: it goes over the limit of bytes.
        """
        name = type(message).__name__
        self._account.spend(name, (), size, f"{name} once more", again=True)
        place, labels = getattr(message, "position", ()), getattr(message, "labels", None) is not None
        self._ledger.write(name, tuple(place), size, labels=labels, resent="after a cut")

    def _check_kinds(self, kinds: list[str], what: str) -> None:
        for kind in kinds:
            if kind not in self._allowed:
                raise ConfigError(
                    f"the release gate refused {what}: '{self._way}' does not release it; nothing was sent"
                )
            if kind not in self._permitted:
                raise ConfigError(
                    f"the release gate refused {what}: the policy's releases do not list {kind}; nothing was "
                    "sent"
                )

    def hear(self, message: Message) -> None:
        """Check what comes down against the policy; write the coordinator's receipt of a commit down.

        Raises:
            ProtocolError: the policy does not take it, or the receipt is none.
        """
        check_incoming(message, self._largest)
        if not isinstance(message, Kept) or not self._signer:
            return
        own = self._heads.pop(message.number, "")
        signed = (KEPT, COORDINATOR, message.number, self._signer.name, own, message.head)
        self._signer.check(COORDINATOR, message.signature, *signed)
        told = {"spec": self._spec, "head": message.head, "signature": message.signature}
        self._ledger.write(RECEIPT, (message.number,), 0, labels=False, **told)

    def committed(self, number: int, state: str) -> Committed:
        """Bring the ledger onto the disk, and give the word of a commit with its head, signed.

        Args:
            number: of the commit.
            state: the hash of this site's state at it.
        """
        self._heads[number] = head = self._ledger.synced()
        signed = self._signer and self._signer.sign(COMMITTED, self._signer.name, number, head)
        return Committed(number, state, head, signed or "")

    def went_on(self, commit: int) -> None:
        """Note that the run goes on from a commit; what was released after it stays written.

        Raises:
            ConfigError: the policy does not let it go back once more.
        """
        self._account.spend(WENT_ON, (commit,), 0, f"to go back to commit {commit}")
        self._ledger.write(WENT_ON, (commit,), 0, labels=False)


def open_channel(
    spec: Work,
    link: SiteLink,
    ledger: Path,
    *,
    limit: int,
    policy: Policy | None = None,
    visits: Visits | None = None,
    signer: Signer | None = None,
) -> tuple[SiteChannel, Gate]:
    """Make the one channel through which a site speaks, and its gate."""
    gate = Gate(spec, ledger, policy, visits, signer)
    channel = SiteChannel(link, limit=limit, release=gate.release)
    channel.listener = gate.hear
    channel.release_again = gate.release_again
    return channel, gate


def channel_without_gate(link: SiteLink, *, limit: int) -> SiteChannel:
    """Make a channel over a link to a gate outside this process, which decides (`sites.passage`)."""
    return SiteChannel(link, limit=limit, release=lambda message, size: None)
