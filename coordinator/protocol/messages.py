"""Every message of the protocol; the only place where messages are defined.

A message is a frozen record. Its arrays travel behind the header as raw bytes; ``Array`` fields
become ``[dtype, shape]`` in the header. ``position`` is (trial, round, site, step), see
`coordinator.schedule`.
"""

from typing import Any

import msgspec
import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
Position = tuple[int, int, int, int]
Away = tuple[tuple[int, int, tuple[int, ...]], ...]  # from an item of a trial on, the sites that are away


class Message(msgspec.Struct, frozen=True, tag=True, array_like=True, forbid_unknown_fields=True):
    """What one party says to another; the header names its type."""


# entering and leaving


class Hello(Message, frozen=True):
    """Site: I am here, with this spec (sha256), and can go on from these commits (number to hash).

    `session` is this process's, 0: none. With the last message that it has seen it says that only its
    connection was cut, and asks for what came after.
    """

    site: str
    spec: str
    last_seen: int
    commits: dict[int, str] = {}
    session: int = 0


class Welcome(Message, frozen=True):
    """Coordinator: you are in, go on from this commit (-1: begin); the training records in the sites' order.

    It begins a generation: what was said before it and not yet heard is void, on both sides. Without which
    sites the run goes on, from which place of the schedule, is told to all alike (`coordinator.walking`).
    """

    records: tuple[int, ...]
    commit: int = -1
    away: Away = ()


class Resumed(Message, frozen=True):
    """Coordinator: after a cut, the last message I have seen of you, and mine follow; -1: begin anew."""

    last_seen: int


class Committed(Message, frozen=True):
    """Site: my state at this commit lies on my disk; its hash, and that of my ledger's last line (sha256).

    The signature (Ed25519, hex) is over what the ledger held.
    """

    number: int
    hash: str
    ledger: str
    signature: str = ""


class Kept(Message, frozen=True):
    """Coordinator: everyone's state at this commit lies on disk, and mine.

    The head is of its own record of all ledgers, the signature over that and the site's.
    """

    number: int
    head: str = ""
    signature: str = ""


class Done(Message, frozen=True):
    """Site: my outputs are written and synced; my parts' hashes and what the run cost me."""

    hashes: dict[str, str]
    costs: dict[str, float]


class Refused(Message, frozen=True):
    """Coordinator: I do not go on with you, and why."""

    reason: str


class Bye(Message, frozen=True):
    """Coordinator: every site is done, leave."""


# agreeing on statistics


class Aggregated(Message, frozen=True):
    """Site: sums over my training records, never rows (`coordinator.aggregates.Aggregates`)."""

    names: tuple[str, ...]
    counts: dict[str, int]
    n: Array
    mean: Array
    m2: Array
    missing: Array
    limits: Array
    histogram: Array
    levels: dict[str, tuple[str, ...]]
    suppressed: int
    shapes: dict[str, tuple[int, ...]]


class Agreed(Message, frozen=True):
    """Coordinator: the merged statistics, as JSON."""

    statistics: str


# estimating without scores


class Estimated(Message, frozen=True):
    """Site: estimates and counts over my test records, never a score (`coordinator.comparison.per_site`)."""

    n: int
    patients: int
    events: int
    areas: Array
    covariance: Array
    groups: Array
    same: Array
    values: Array
    means: Array
    reasons: dict[str, str]
    metrics: tuple[str, ...]


# split learning


class Activations(Message, frozen=True):
    """Site: the front's output (batch, ...), and the labels (batch,) where they are shared."""

    position: Position
    tensor: Array
    labels: Array | None


class CutGradient(Message, frozen=True):
    """Coordinator: the loss's gradient at the front's output, same shape."""

    position: Position
    tensor: Array


class Features(Message, frozen=True):
    """Coordinator: the middle's output (batch, ...), for the head at the site (U-shaped)."""

    position: Position
    tensor: Array


class HeadGradient(Message, frozen=True):
    """Site: the loss's gradient at the middle's output, same shape (U-shaped)."""

    position: Position
    tensor: Array


class Sealed(Message, frozen=True):
    """Parts handed on from site to site; the coordinator relays what it cannot read."""

    position: Position
    giver: str
    taker: str
    box: Array


# federated averaging


class Weights(Message, frozen=True):
    """A model's floating-point tensors in the model's order, and the records they stand for."""

    position: Position
    tensors: tuple[Array, ...]
    records: int


class Gradients(Message, frozen=True):
    """Site: the gradients of my parts in a joint step; coordinator: their sum, in the model's order."""

    position: Position
    tensors: tuple[Array, ...]


class Norms(Message, frozen=True):
    """Either side: the length of each of my parameters' gradients (parameters,) in a step, for clipping."""

    position: Position
    values: Array


class Control(Message, frozen=True):
    """Coordinator: what this site adds to its gradients, c - c_i (SCAFFOLD), in the model's order."""

    position: Position
    tensors: tuple[Array, ...]


# secure aggregation; every array but the words is of bytes


class SumKeys(Message, frozen=True):
    """Site: my public key for this attempt at a sum; coordinator: those of all who take part, in order."""

    position: Position
    keys: tuple[Array, ...]


class SumShares(Message, frozen=True):
    """Site: shares of my secrets, sealed for the other sites in order; coordinator: what they sealed."""

    position: Position
    boxes: tuple[Array, ...]


class SumMasked(Message, frozen=True):
    """Site: my weighted tensors and my weight in fixed point, int64 words under masks."""

    position: Position
    words: Array


class SumThere(Message, frozen=True):
    """Coordinator: the sites whose words have come, by number."""

    position: Position
    sites: tuple[int, ...]


class SumUnmasking(Message, frozen=True):
    """Site: one share of a secret of each site, with which the sum, and no summand, comes out."""

    position: Position
    shares: tuple[Array, ...]


# validation, selection, prediction


class Validated(Message, frozen=True):
    """Site: sums of the loss (float64) over my training steps and my validation records.

    And of these records' pairs, one with the outcome and one without, how many are ranked rightly.
    """

    position: Position
    train_loss: float
    train_records: int
    loss: float
    records: int
    ranked: float = 0.0
    pairs: int = 0


class Verdict(Message, frozen=True):
    """Coordinator: whether this round's model is the best so far, and if the trial, or all, stops here."""

    position: Position
    best: bool
    stop: bool = False
    end: bool = False


class Budgeted(Message, frozen=True):
    """Site: whether my patients' privacy accounts bear another round."""

    position: Position
    goes_on: bool


class Missed(Message, frozen=True):
    """Coordinator: what was decided while this site was away: the best round (trial, round), who stopped."""

    position: Position
    best_at: tuple[int, int]
    stopped: int


class Scores(Message, frozen=True):
    """Coordinator: the back's output for activations that were sent to be scored (batch, 1)."""

    position: Position
    tensor: Array


# what a message without a place of its own, or of one purpose only, is counted as
_PHASES: dict[type[Message], str] = {
    Aggregated: "agreement", Agreed: "agreement", Estimated: "estimation",
    Sealed: "training", Weights: "training", Gradients: "training", Control: "training", Norms: "training",
    Validated: "validation", Verdict: "validation", Budgeted: "validation", Missed: "validation",
    SumKeys: "training", SumShares: "training", SumMasked: "training", SumThere: "training",
    SumUnmasking: "training",
}  # fmt: skip


def phase_of(message: Message) -> str:
    """Say what a message's bytes are counted as, on both sides alike: it stands in its place.

    In a position the trial is -1 for the final test, the step is below 0 for validation.
    """
    position: Position | None = getattr(message, "position", None)
    if type(message) in _PHASES or position is None:
        return _PHASES.get(type(message), "control")
    trial, _, _, step = position
    return "prediction" if trial < 0 else "validation" if step < 0 else "training"


AnyMessage = (
    Hello | Welcome | Committed | Kept | Refused | Done | Bye | Aggregated | Agreed | Activations
    | CutGradient | Features | HeadGradient | Sealed | Weights | Gradients | Norms | Control | Validated
    | Verdict | Budgeted | Scores | SumKeys | SumShares | SumMasked | SumThere | SumUnmasking
    | Missed | Resumed | Estimated
)  # fmt: skip
