"""Where a site's tensors meet its defences on their way out, and the coordinator unpacks what came.

Without a defence each of these gives what it was given: the same tensor, the same bits.
"""

from collections.abc import Callable

import msgspec
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm

from coordinator.algorithms.building import outline_of
from coordinator.algorithms.cohort import Cohort, Rows
from coordinator.algorithms.party import Party
from coordinator.algorithms.tensors import one, sent
from coordinator.errors import ConfigError
from coordinator.models.stages import Value
from coordinator.privacy import activation_codec, no_peek
from coordinator.privacy.guard import TEST, UNDEFENDED, VALIDATION, Guard, Indices
from coordinator.protocol.messages import Activations, Array, Message, Position
from coordinator.specs import Run

Hear = Callable[[str, Message], None]


def guard_of(party: Party) -> Guard:
    """Give the site's guard.

    Raises:
        ConfigError: its strategy has a defence and it was given none; nothing leaves then.
    """
    if party.guard is None:
        raise ConfigError(f"'{party.run.strategy}' has defences, and this site was not given its guard")
    return party.guard


def defended(run: Run) -> bool:
    """Say whether a strategy has any defence."""
    return run.privacy != UNDEFENDED


def outgoing(party: Party, values: Tensor, at: Position, role: str, records: Indices) -> Tensor:
    """Give what of the front's output (batch, ...) may leave; the gradient that comes down is of this."""
    if not defended(party.run):
        return values
    return guard_of(party).activations(values, at, role, records)


def add_hidden_term(party: Party, inputs: Value, activations: Tensor) -> None:
    """Add the gradient of what the front's loss has beside the coordinator's: NoPeek's term."""
    weight = party.run.privacy.no_peek
    if weight is not None:
        seen = no_peek.distance_correlation(no_peek.flat(inputs), activations)
        (weight * seen).backward(retain_graph=True)


def scrutinize(party: Party, gradient: Tensor, labels: Tensor, at: Position) -> None:
    """Let the site look whether the gradient that came down is of the task, where it wants to.

    Raises:
        ProtocolError: it is not.
    """
    if party.run.privacy.detect_hijacking:
        guard_of(party).scrutinize(gradient, labels, at)


def check_parts(party: Party) -> None:
    """Refuse noise on a network of the study's own that turns out to mix records before the cut.

    Raises:
        ConfigError: a layer of this site normalises over the batch.
    """
    if party.run.privacy.noise is None:
        return
    for name, part in party.parts.items():
        if any(isinstance(module, BatchNorm) for module in part.modules()):
            raise ConfigError(
                f"batch norm in '{name}' mixes the records of a batch, so that no clip bounds what one "
                "of them changes; use group norm, or remove privacy.noise"
            )


def outgoing_labels(party: Party, labels: Tensor, rows: Rows, records: Indices, role: str) -> Tensor:
    """Give the labels of some records (batch,) as they are sent, where they are shared."""
    if party.run.privacy.label_epsilon is not None:
        labels = guard_of(party).labels(labels, role, records, rows.labels)
    return labels


def outgoing_gradient(
    party: Party, rows: Tensor, labels: Tensor, at: Position, records: Indices, weight: float
) -> Tensor:
    """Give what of the gradient at the middle's output (batch, ...) may leave (U-shaped).

    Args: `weight` is that of one record in the loss.
    """
    if not defended(party.run):
        return rows
    return guard_of(party).head_gradient(rows, labels, at, records, weight)


def packed(run: Run, activations: Tensor) -> Array:
    """Put activations on the wire, in the run's format."""
    return activation_codec.CODECS[run.privacy.activations].pack(activations)


def unpacked(run: Run, array: Array, shape: tuple[int, ...], sender: str) -> Tensor:
    """Take activations of the expected shape off the wire, as float32.

    Raises:
        ProtocolError: they are of another shape or format.
    """
    codec = activation_codec.CODECS[run.privacy.activations]
    if codec.unpack is None:
        return one(array, shape, sender)
    return codec.unpack(array, shape, sender)


def as_read(run: Run, cohort: Cohort, hear: Hear) -> Hear:
    """Let what listens to the wire hear activations as the coordinator reads them."""
    codec = activation_codec.CODECS[run.privacy.activations]
    if codec.unpack is None:
        return hear
    shape = outline_of(run, cohort.shape)[run.cut[0]].shape
    unpack = codec.unpack

    def heard(site: str, message: Message) -> None:
        if isinstance(message, Activations):
            tensor = unpack(message.tensor, (len(message.tensor), *shape), site)
            message = msgspec.structs.replace(message, tensor=sent(tensor))
        hear(site, message)

    return heard


def role_of(at: Position) -> str:
    """Say whose records are scored at a place: in the final test the trial is below 0."""
    return VALIDATION if at[0] >= 0 else TEST
