"""The release gate: every byte that leaves a site passes here, is allowed by policy and is written down.

Only this module makes a site's channel.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from coordinator.errors import ConfigError
from coordinator.protocol.line import SiteLink
from coordinator.protocol.messages import Committed, Message
from coordinator.protocol.site_channel import SiteChannel
from coordinator.specs import Agreement, Prediction, Run, digest
from sites.ledger import WENT_ON, Ledger

# what each kind of release is called in a policy; the conversation itself is always allowed
RELEASES: Final[Mapping[str, str]] = {
    "Hello": "conversation",
    "Committed": "conversation",
    "Done": "conversation",
    "Aggregated": "aggregates",
    "Validated": "metrics",
    "Activations": "activations",
    "HeadGradient": "activations",
    "Sealed": "sealed parts",
    "Weights": "weights",
    "Gradients": "gradients",
    "Norms": "gradient norms",
}
# what a site releases under each way to train; anything else is refused
ALLOWED: Final[Mapping[str, frozenset[str]]] = {
    "agreement": frozenset({"conversation", "aggregates"}),
    "local": frozenset({"conversation", "metrics"}),
    "federated": frozenset({"conversation", "metrics", "weights"}),
    "cyclic": frozenset({"conversation", "metrics", "sealed parts"}),
    "split": frozenset({"conversation", "metrics", "activations"}),
    "prediction": frozenset({"conversation", "activations"}),
}
# beside that, what becomes of a site's parts in split learning; private ones do not leave at all
OF_PARTS: Final[Mapping[str, str]] = {
    "handed_on": "sealed parts",
    "averaged": "weights",
    "synchronous": "gradients",
}
# where the whole model's gradient is clipped and no party has it all; a joint step's sum is the coordinator's
OF_CLIPPING: Final = "gradient norms"


class Gate:
    """Decides on each message, and keeps the ledger."""

    def __init__(self, spec: Run | Agreement | Prediction, ledger: Path) -> None:
        """Open the ledger, after what an earlier attempt released."""
        self._way = spec.algorithm if isinstance(spec, Run) else spec.kind
        self._allowed = ALLOWED[self._way]
        if isinstance(spec, Run) and self._way == "split" and spec.site_parts in OF_PARTS:
            self._allowed |= {OF_PARTS[spec.site_parts]}
        clip = spec.training.clip if isinstance(spec, Run) and self._way == "split" else None
        if isinstance(spec, Run) and clip and clip.scope == "global" and spec.back != "joint":
            self._allowed |= {OF_CLIPPING}
        self._labels = isinstance(spec, Run) and spec.labels == "shared"
        self._spec, self._ledger = digest(spec), Ledger(ledger)

    def release(self, message: Message, size: int) -> None:
        """Write a message's kind, place and size down before it leaves.

        Raises:
            ConfigError: the message may not leave under this way to train.
        """
        name = type(message).__name__
        labels = getattr(message, "labels", None) is not None
        if RELEASES.get(name) not in self._allowed or (labels and not self._labels):
            what = f"{name} with labels" if labels else name
            raise ConfigError(
                f"the release gate refused {what}: '{self._way}' does not release it; nothing was sent"
            )
        place = (message.number,) if isinstance(message, Committed) else getattr(message, "position", ())
        more = {"spec": self._spec} if name == "Hello" else {}
        self._ledger.write(name, tuple(place), size, labels=labels, **more)

    def synced(self) -> str:
        """Bring the ledger onto the disk; give the hash of its last line."""
        return self._ledger.synced()

    def went_on(self, commit: int) -> None:
        """Note that the run goes on from a commit; what was released after it stays written."""
        self._ledger.write(WENT_ON, (commit,), 0, labels=False)


def open_channel(
    spec: Run | Agreement | Prediction, link: SiteLink, ledger: Path, *, limit: int
) -> tuple[SiteChannel, Gate]:
    """Make the one channel through which a site speaks, and its gate."""
    gate = Gate(spec, ledger)
    return SiteChannel(link, limit=limit, release=gate.release), gate
