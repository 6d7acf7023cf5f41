"""Which round's model is kept: the least validation loss, the first of equals, a number before none."""

from math import inf, nan

import pytest
import torch
from federation import a_run, federate

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


@pytest.mark.parametrize("preset", ["split", "split_u", "fedavg", "local", "centralized"])
def test_predictions_come_from_the_best_trial_not_the_last(preset: str) -> None:
    """A rate too small to learn comes last in the grid: the first trial's model must predict."""
    cut = {"cut": ("layer1", "layer2")} if preset == "split_u" else {}
    logits = []
    for rates in ((0.05,), (0.05, 1e-9)):
        run = a_run(preset, (60, 40), training={"learning_rates": rates}, **cut)
        coordinator, outcomes, _ = federate(run, (60, 40))
        assert coordinator.best_at[0] == 0
        logits.append([each for name in run.parties for each in outcomes[name][1]])
    assert all(torch.equal(one, other) for one, other in zip(*logits, strict=True))
