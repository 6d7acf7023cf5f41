"""The schedule is a pure function: every record is visited, and parts are where they are needed."""

from collections import Counter

import numpy as np
import pytest
from federation import a_run
from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator.schedule import (
    Batch,
    Begin,
    HandOn,
    JointBatch,
    LocalRound,
    Validate,
    participants,
    schedule,
    site_round,
    steps_in,
)

SIZES = st.lists(st.integers(1, 70), min_size=1, max_size=6).map(tuple)
TRAININGS = st.fixed_dictionaries(
    {
        "rounds": st.integers(1, 3),
        "local_epochs": st.integers(1, 3),
        "batch_size": st.integers(1, 40),
        "learning_rates": st.sampled_from([(0.1,), (0.1, 0.01)]),
    }
)
SEQUENTIAL = ("split", "split_u", "cyclic")
PRESETS = (
    "centralized",
    "local",
    "fedavg",
    *SEQUENTIAL,
    "split_private",
    "split_parallel",
    "splitfed_v1",
    "splitfed_v2",
)
ORDERS = st.fixed_dictionaries(
    {
        "turn": st.sampled_from(["client", "batch"]),
        "order": st.sampled_from(["fixed", "reversed", "drawn"]),
        "interleave": st.sampled_from(["cyclic", "proportional"]),
        "participation": st.sampled_from([1.0, 0.5]),
    }
)
quickly = settings(max_examples=60, deadline=None)


def items_of(preset, sizes, training, **axes):
    run = a_run(preset, sizes, training=training, cut=("layer1", "layer2"), **axes)
    return run, list(schedule(run, sizes))


def plain(item):
    """Give an item as comparable values."""
    values = {name: getattr(item, name) for name in item.__slots__}
    if isinstance(item, JointBatch):
        values["batches"] = [plain(batch) for batch in item.batches]
    return type(item).__name__, {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in values.items()}


@pytest.mark.parametrize("preset", PRESETS)
@quickly
@given(sizes=SIZES, training=TRAININGS)
def test_the_same_run_gives_the_same_list(preset, sizes, training):
    first, second = (items_of(preset, sizes, training)[1] for _ in range(2))
    assert list(map(plain, first)) == list(map(plain, second))


@quickly
@given(sizes=SIZES, training=TRAININGS)
def test_split_visits_every_record_once_in_each_local_epoch(sizes, training):
    run, items = items_of("split", sizes, training)
    seen = Counter()
    for item in items:
        if isinstance(item, Batch):
            assert 1 <= len(item.records) <= run.training.batch_size
            seen.update((item.trial, item.round, item.site, int(record)) for record in item.records)
    trials = range(len(run.training.learning_rates))
    every = {(t, r, s, i) for t in trials for r in range(run.training.rounds)
             for s, size in enumerate(sizes) for i in range(size)}  # fmt: skip
    assert seen == dict.fromkeys(every, run.training.local_epochs)


@quickly
@given(sizes=SIZES, training=TRAININGS)
def test_each_local_epoch_is_a_permutation_of_the_site_s_records(sizes, training):
    run = a_run("fedavg", sizes, training=training)
    for site, size in enumerate(sizes):
        records = np.concatenate([batch.records for batch in site_round(run, 0, 0, site, size)])
        for epoch in records.reshape(run.training.local_epochs, size):
            assert sorted(epoch.tolist()) == list(range(size))


@quickly
@given(sizes=SIZES, training=TRAININGS)
def test_steps_have_places_of_their_own_in_order(sizes, training):
    run, items = items_of("split", sizes, training)
    places = [item.position for item in items if isinstance(item, Batch)]
    assert places == sorted(set(places))
    assert len(places) == steps_in(run, sizes)


@quickly
@given(sizes=SIZES, training=TRAININGS, axes=ORDERS)
def test_parts_are_handed_on_to_whoever_needs_them(sizes, training, axes):
    """Walk the list with what each site holds: (version, its optimizer's version)."""
    for preset in SEQUENTIAL:
        _, items = items_of(preset, sizes, training, **axes)
        for item in items:
            if isinstance(item, Begin):
                version, parts, optimizers = 0, [0] * len(sizes), [0] * len(sizes)
            elif isinstance(item, Batch):
                assert parts[item.site] == optimizers[item.site] == version
                version += 1
                parts[item.site] = optimizers[item.site] = version
            elif isinstance(item, HandOn):
                assert parts[item.giver] == version
                assert item.takers
                assert item.giver not in item.takers
                for taker in item.takers:
                    parts[taker] = parts[item.giver]
                    optimizers[taker] = optimizers[item.giver] if item.optimizer else -1
            else:
                assert set(parts) == {version}


@pytest.mark.parametrize("preset", PRESETS)
@quickly
@given(sizes=SIZES, training=TRAININGS)
def test_every_round_of_every_trial_is_validated_once(preset, sizes, training):
    run, items = items_of(preset, sizes, training)
    trials, rounds = range(len(run.training.learning_rates)), range(run.training.rounds)
    validated = [(item.trial, item.round) for item in items if isinstance(item, Validate)]
    assert validated == [(t, r) for t in trials for r in rounds]
    begun = [(item.trial, item.learning_rate) for item in items if isinstance(item, Begin)]
    assert begun == list(enumerate(run.training.learning_rates))
    assert isinstance(items[0], Begin)
    assert isinstance(items[-1], Validate)
    if run.algorithm not in ("split", "cyclic"):
        assert sum(isinstance(item, LocalRound) for item in items) == len(trials) * len(rounds)


@pytest.mark.parametrize("count", [1, 2])
def test_sites_of_one_record_take_their_turns(count):
    _, items = items_of("split", (1,) * count, {"rounds": 2})
    batches = [item for item in items if isinstance(item, Batch)]
    assert [batch.records.tolist() for batch in batches] == [[0]] * 2 * count
    assert [batch.site for batch in batches] == list(range(count)) * 2


def test_one_site_hands_nothing_on():
    assert not [item for item in items_of("split", (30,), {})[1] if isinstance(item, HandOn)]


@pytest.mark.parametrize("changed", ["seed", "round", "site"])
def test_the_order_is_drawn_from_seed_round_and_site_alone(changed):
    run = a_run("split", (50, 50))
    other = run.model_copy(update={"seed": 4}) if changed == "seed" else run

    def order(run, trial, round_, site):
        return np.concatenate([b.records for b in site_round(run, trial, round_, site, 50)]).tolist()

    first = order(run, 0, 0, 0)
    assert first == order(run, 1, 0, 0)  # every trial of the grid sees the same batches
    assert first != order(other, 0, changed == "round", changed == "site")


@pytest.mark.parametrize(("batches", "expected"), [("shuffled", 8), ("by_site", 9)])
def test_steps_of_the_pool_are_counted_over_all_records(batches, expected):
    sizes = (100, 20)  # 16 a batch: 7 + 2 by site, 8 together
    run = a_run("centralized", sizes, batches=batches, training={"rounds": 1})
    assert steps_in(run, sizes) == expected


@quickly
@given(sizes=SIZES, training=TRAININGS, axes=ORDERS)
def test_every_order_visits_the_same_batches(sizes, training, axes):
    """Whose turn it is changes no batch; only who takes part does."""
    run, items = items_of("multi_head", sizes, training, **axes)
    found = {item.position: item.records.tolist() for item in items if isinstance(item, Batch)}
    assert len(found) == steps_in(run, sizes)
    whole = {
        item.position: item.records.tolist()
        for item in items_of("multi_head", sizes, training)[1]
        if isinstance(item, Batch)
    }
    chosen = {(r, s) for r in range(run.training.rounds) for s in participants(run, r, len(sizes))}
    assert found == {at: records for at, records in whole.items() if at[1:3] in chosen}


@quickly
@given(sizes=SIZES, training=TRAININGS)
def test_joint_steps_share_a_batch_in_proportion_and_end_together(sizes, training):
    run, items = items_of("split_parallel", sizes, training)
    steps = [item for item in items if isinstance(item, JointBatch)]
    assert len(steps) == steps_in(run, sizes)
    seen = Counter()
    for item in steps:
        for batch in item.batches:
            share = sizes[batch.site] / sum(sizes) * run.training.batch_size
            assert 1 <= len(batch.records) <= share + 1
            seen.update((item.trial, item.round, batch.site, int(record)) for record in batch.records)
    trials, rounds = len(run.training.learning_rates), run.training.rounds
    assert len(seen) == trials * rounds * sum(sizes)
    assert set(seen.values()) == {run.training.local_epochs}


def test_turns_by_batch_go_round_and_a_site_without_any_sits_out():
    batches = [i for i in items_of("multi_head", (64, 16, 33), {"rounds": 1})[1] if isinstance(i, Batch)]
    assert [batch.site for batch in batches] == [0, 1, 2, 0, 2, 0, 2, 0]
    axes = {"interleave": "proportional"}
    batches = [
        i for i in items_of("multi_head", (64, 16, 33), {"rounds": 1}, **axes)[1] if isinstance(i, Batch)
    ]
    assert [batch.site for batch in batches] == [0, 2, 0, 1, 2, 0, 2, 0]


def test_a_drawn_order_changes_from_round_to_round_and_not_with_the_trial():
    training = {"rounds": 6, "learning_rates": (0.1, 0.01), "batch_size": 100}
    items = items_of("splitfed_v2", (30, 30, 30, 30), training)[1]
    orders = {}
    for item in items:
        if isinstance(item, Batch):
            orders.setdefault((item.trial, item.round), []).append(item.site)
    assert all(sorted(order) == [0, 1, 2, 3] for order in orders.values())
    assert len({tuple(orders[0, r]) for r in range(6)}) > 1
    assert all(orders[0, r] == orders[1, r] for r in range(6))


def test_a_reversed_order_begins_with_the_last_site():
    items = items_of("split", (30, 30, 30), {"rounds": 2, "batch_size": 16}, order="reversed")[1]
    assert [i.site for i in items if isinstance(i, Batch)] == [2, 2, 1, 1, 0, 0] * 2
