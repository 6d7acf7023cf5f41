"""The first turn of a run whose parts are handed on, as who is handed them has it.

Parts travel sealed, so no wire holds them. But who gets them knows what it had before: the start that the
study's seed draws, or what was handed to everyone at a round's end. The difference is what its predecessors
did since: of the first hand-over one site's turn, or one batch of it where turns are batches. The auditor,
who has the records, walks that turn again; it is the run's own to the bit, where nothing defends the run.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from coordinator.algorithms.optimizers import Optimizer
from coordinator.algorithms.training import Draw, floats, train_batch
from coordinator.attacks.local_round import Step, Update
from coordinator.config import Privacy
from coordinator.models.stages import Part, Value
from coordinator.rates import rate_at
from coordinator.schedule import Batch, HandOn, schedule
from sites.attacked import Attacked, Hospital
from sites.updates import class_weights

Numbers = NDArray[np.int64]


class Turn(NamedTuple):
    """Whose turn it was, who was handed the parts, which training records it was of, what it changed."""

    giver: Hospital
    taker: str
    records: Numbers
    update: Update


def first_turn(attacked: Attacked) -> Turn | None:
    """Give the turn before the first hand-over of the last trial; None where no parts are handed on so."""
    run = attacked.run
    on = run.algorithm == "cyclic" or (run.algorithm == "split" and run.site_parts == "handed_on")
    start = attacked.first()
    if not on or run.privacy != Privacy() or len(floats(start)) != len(list(start.parameters())):
        return None
    batches, handed = before_hand_over(attacked)
    if handed is None:
        return None
    giver, every = attacked.hospitals[handed.giver], np.concatenate([each.records for each in batches])
    records: Numbers = np.unique(every)
    rate = rate_at(run.training, run.training.learning_rates[handed.trial], handed.round)
    steps = tuple(
        Step(torch.from_numpy(np.searchsorted(records, each.records)), drawn(attacked, each))
        for each in batches
    )
    change = change_of(attacked, giver, batches)
    names = tuple(change)
    update = Update(
        start, tuple(change.values()), steps, run.training, rate, class_weights(attacked), names=names
    )
    return Turn(giver, run.sites[handed.takers[0]], records, update)


def before_hand_over(attacked: Attacked) -> tuple[list[Batch], HandOn | None]:
    """Give the last trial's batches up to its first hand-over, and that."""
    run, batches = attacked.run, []
    for item in schedule(run, attacked.cohort.train):
        if isinstance(item, Batch) and item.trial == len(run.training.learning_rates) - 1:
            batches.append(item)
        if isinstance(item, HandOn) and batches:
            return batches, item
    return batches, None


def change_of(attacked: Attacked, giver: Hospital, batches: list[Batch]) -> dict[str, Tensor]:
    """Walk the turn, and give what it changed of the parts that are handed on, by parameter."""
    run = attacked.run
    before, model = attacked.first(), attacked.first()
    optimizer = Optimizer(model, run.training, run.training.learning_rates[-1])
    labels = torch.from_numpy(giver.roles["train"].labels)
    for batch in batches:
        train_batch(
            model.train(), optimizer, _inputs(attacked, giver, batch), labels[batch.records],
            drawn(attacked, batch), round_=batch.round, weights=class_weights(attacked),
        )  # fmt: skip
    began, ended = dict(before.named_parameters()), dict(model.named_parameters())
    handed = [name for part in handed_parts(attacked) for name, _ in part.named_parameters()]
    return {name: ended[name].detach() - began[name].detach() for name in began if name in handed}


def handed_parts(attacked: Attacked) -> list[Part]:
    """Give the parts that travel: the whole model, or the front and, where labels stay, the head."""
    if attacked.run.algorithm == "cyclic":
        return [attacked.first()]
    return [attacked.first(which) for which in ((0, 2) if attacked.run.labels == "private" else (0,))]


def drawn(attacked: Attacked, batch: Batch) -> Draw:
    """Say what keys a step's draws, which all who know the seed know."""
    return (attacked.run.seed, "forward", *batch.draw)


def _inputs(attacked: Attacked, giver: Hospital, batch: Batch) -> Value:
    run, inputs = attacked.run, giver.inputs("train")
    if not run.augment:
        return inputs[batch.records]
    return inputs.changed(run.augment, batch.records, (run.seed, "augment", *batch.draw))
