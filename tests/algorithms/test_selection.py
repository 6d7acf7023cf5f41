"""Which round's model is kept: the least validation loss, the first of equals, a number before none."""

from math import inf, nan

import pytest
from federation import a_run

from coordinator.algorithms.party import Cohort, Party, Validation, select, validation_loss


def picked(losses: list[float], records: int = 10) -> tuple[int, int]:
    """Select among rounds with these loss sums; give the best (trial, round)."""
    party = Party(a_run("local", (20,)), Cohort((6,), (20,), (records,), (5,)))
    for round_, loss in enumerate(losses):
        select(party, [Validation(0.0, 0, loss, records)], (0, round_))
    return party.best_at


@pytest.mark.parametrize(
    ("losses", "best"),
    [
        ([3.0, 2.0, 2.0, 4.0], 1),
        ([nan, 2.0, nan, 1.0], 3),
        ([2.0, nan, 3.0], 0),
        ([inf, 5.0], 1),
        ([nan, nan, nan], 2),
    ],
)
def test_the_least_loss_is_kept(losses: list[float], best: int) -> None:
    assert picked(losses) == (0, best)


def test_without_validation_records_the_last_round_is_kept() -> None:
    assert picked([0.0, 0.0, 0.0], records=0) == (0, 2)


def test_sites_weigh_by_their_records_or_equally() -> None:
    found = [Validation(0.0, 0, 10.0, 10), Validation(0.0, 0, 90.0, 30), Validation(0.0, 0, 0.0, 0)]
    assert validation_loss(found, "records") == 100 / 40
    assert validation_loss(found, "equal") == (1.0 + 3.0) / 2
