"""Which round's model is kept: the least validation loss, the first of equals, a number before none."""

from math import inf, nan

import pytest
import torch
from federation import a_run, federate

from coordinator.algorithms.cohort import Cohort
from coordinator.algorithms.party import Party, Validation, Waiting
from coordinator.algorithms.selection import out_of_patience, select, validation_loss
from coordinator.schedule import Validate
from coordinator.server.progress import history_rows


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


PATIENT = {"rounds": 12, "patience": 2, "learning_rates": (0.05, 0.3)}


@pytest.mark.parametrize(
    ("losses", "stop"),
    [
        ([3.0, 2.0, 2.0, 2.0, 1.0], 3),  # an equal loss is not better
        ([3.0, 4.0, 2.0, 5.0, 1.0, 1.5, 1.2], 6),
        ([nan, nan, 1.0], 1),
        ([2.0, nan, 1.0, nan, 1.0], 4),
        ([3.0, 2.0, 1.0], None),
    ],
)
def test_a_trial_stops_after_its_patience_without_a_better_loss(losses, stop) -> None:
    run, waiting = a_run("fedavg", (20,), training=PATIENT), Waiting()
    for trial in (0, 1):  # each counts anew
        said = [out_of_patience(run, waiting, [Validation(0.0, 0, loss, 10)], trial) for loss in losses]
        assert (said.index(True) if True in said else None) == stop
    assert not out_of_patience(run, waiting, [Validation(0.0, 0, 9.0, 0)], 1)  # nothing to judge by


def walked(preset: str, sizes: tuple[int, ...], **changes):
    """Run with patience; give the rounds each trial had, and everything of the run."""
    training = {**PATIENT, **changes.pop("training", {})}
    run = a_run(preset, sizes, training=training, **changes)
    coordinator, outcomes, _ = federate(run, sizes)
    return coordinator, [outcomes[name][0] for name in run.parties]


def rounds_of(party: Party) -> int:
    return len(party.rounds)


SIZES = (60, 40, 9)


@pytest.mark.parametrize("preset", ["split", "split_u", "splitfed_v1", "split_parallel", "fedavg", "cyclic"])
def test_all_parties_leave_out_the_same_rounds(preset: str) -> None:
    cut = {"cut": ("layer1", "layer2")} if preset == "split_u" else {}
    coordinator, sites = walked(preset, SIZES, **cut)
    assert rounds_of(coordinator) < 24
    again, _ = walked(preset, SIZES, **cut)
    assert rounds_of(again) == rounds_of(coordinator)
    assert {party.stopped for party in sites} == {coordinator.stopped}
    assert {party.kept_at for party in sites} == {coordinator.best_at}
    last = Validate(1, 0)
    rows = history_rows(coordinator.run, last, coordinator, 0.0, {"bytes_up": 0.0, "bytes_down": 0.0})
    assert {row["stopped"] for row in rows} == {coordinator.stopped == 1}
    full, _ = walked(preset, SIZES, training={"patience": None}, **cut)
    assert rounds_of(full) == 24
    for mine, theirs in zip(coordinator.rounds[:3], full.rounds[:3], strict=True):
        assert mine == theirs  # until it stops nothing differs


def test_split_stops_where_centralized_does_and_equals_it() -> None:
    reference, (pool,) = walked("centralized", SIZES, batches="by_site")
    for preset, cut in (("split", ("layer1",)), ("split_u", ("layer1", "layer2")), ("cyclic", ("layer1",))):
        found, sites = walked(preset, SIZES, cut=cut)
        assert (found.best_at, found.best_loss) == (reference.best_at, reference.best_loss)
        assert rounds_of(found) == rounds_of(reference) == rounds_of(pool) < 24
        parts = {**sites[-1].parts, **found.parts}
        state = {name: value for part in parts.values() for name, value in part.state_dict().items()}
        model = pool.parts["model"].state_dict()
        assert all(torch.equal(state[name], model[name]) for name in model)


def test_alone_each_site_stops_by_its_own_loss() -> None:
    coordinator, sites = walked("local", SIZES)
    told = [rounds_of(party) for party in sites]
    assert len(set(told)) > 1
    assert max(told) <= rounds_of(coordinator) <= 24
    assert min(told) < 24
    last = Validate(1, rounds_of(coordinator) - 1)
    said = history_rows(coordinator.run, last, coordinator, 0.0, {"bytes_up": 0.0, "bytes_down": 0.0})
    silent = {f"site{i}" for i, round_ in coordinator.stopped_alone.items() if round_ < last.round}
    assert {row["site"] for row in said} == {"all", "site0", "site1", "site2"} - silent
    for size, party in zip(SIZES, sites, strict=True):
        assert party.records_trained == size * len(party.rounds)


def test_a_held_out_site_keeps_no_one_waiting_alone() -> None:
    coordinator, sites = walked("local", (60, 0))
    assert rounds_of(sites[1]) == 2  # one round of each trial
    assert rounds_of(coordinator) == rounds_of(sites[0]) < 24
