"""What a curious site makes of its predecessor's turn: records by gradient inversion, and who was in it.

Of a whole model handed on it has all that changed, of split parts what changed of front and head; the layers
above it starts from as the study's seed draws them, and lets its guess move them too.
"""

from typing import Final

import numpy as np
import torch

from coordinator.attacks.effort import EFFORTS, Effort
from coordinator.attacks.update_membership import update_cosine
from sites.attacked import Attacked, Rows, rows_of
from sites.leakage import membership
from sites.turns import Turn, first_turn
from sites.update_attacks import inverted_rows
from sites.updates import inputs_of_site

WHO: Final = "curious_site"


def turn_rows(attacked: Attacked, effort: Effort) -> Rows:
    """Invert the first turn that is handed on, and tell its records from the same site's test records."""
    turn = first_turn(attacked)
    if turn is None or not any(len(each.roles["auxiliary"].labels) for each in attacked.hospitals):
        return []
    rows = member_rows(turn)
    # with few steps a turn of images or series gives nothing, and takes the default audit's time
    if set(attacked.statistics["input_shapes"]) == {"table"} or effort.members > EFFORTS["small"].members:
        truth = inputs_of_site(turn.giver, turn.records)
        labels = turn.giver.roles["train"].labels[turn.records]
        whose = f"a turn of {turn.giver.site}, by {turn.taker}"
        rows += inverted_rows(attacked, effort, [(turn.update, truth, labels, None)], whose, WHO)
    return rows


def member_rows(turn: Turn) -> Rows:
    """Score who was in a turn by how a record's own gradient lies to what the turn changed."""
    rest = np.arange(len(turn.giver.roles["test"].labels))
    members, others = (
        update_cosine(
            turn.update,
            turn.giver.inputs(role).__getitem__,
            torch.from_numpy(turn.giver.roles[role].labels),
            records,
        )
        for role, records in (("train", turn.records), ("test", rest))
    )
    target = f"membership in a turn of {turn.giver.site}, by {turn.taker}"
    return rows_of("update_cosine", target, WHO, membership(members, others))
