"""A batch's records, loaded while the site waits for the coordinator where it knows what comes next."""

from torch import Tensor

from coordinator.algorithms.party import Party
from coordinator.algorithms.training import Draw
from coordinator.models.stages import Value
from coordinator.schedule import Batch, Indices, JointBatch


def draw_of(party: Party, item: Batch | JointBatch) -> Draw:
    """Say what keys a step's random draws: the same in every arm."""
    return (party.run.seed, "forward", *item.draw)


def augment_of(party: Party, item: Batch) -> Draw:
    """Say what keys the random changes to a batch's images."""
    return (party.run.seed, "augment", *item.draw)


def batch_of(party: Party, item: Batch) -> tuple[Value, Tensor]:
    """Give a batch's inputs (batch, ...) and labels (batch,)."""
    ahead, party.ahead = party.ahead, None
    if ahead is not None and ahead[0] is item:
        return ahead[1:]
    return loaded(party, item.records, augment_of(party, item))


def loaded(party: Party, records: Indices, draw: Draw) -> tuple[Value, Tensor]:
    """Load records' inputs (batch, ...) and labels (batch,); for a GPU, whence it copies without waiting."""
    train = party.rows.train
    inputs, labels = train.batch(records, draw), train.labels[records]
    if party.device == "cpu":
        return inputs, labels
    if isinstance(inputs, dict):
        return {name: each.pin_memory() for name, each in inputs.items()}, labels.pin_memory()
    return inputs.pin_memory(), labels.pin_memory()


def load_ahead(party: Party) -> None:
    """Load the batch after this one, if it is this site's; it changes no bit of what is computed."""
    item = party.upcoming
    if isinstance(item, Batch) and item.site == party.index:
        party.ahead = (item, *batch_of(party, item))
