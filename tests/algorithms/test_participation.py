"""Sites that join late, leave, or make other epochs: in each strategy, and repeated as recorded."""

import json

import pytest
import torch
from federation import a_run, federate
from test_exactness import SIZES, assert_equal_runs, assert_same, everything, tensors
from test_split_family import assert_sequence, ran

from coordinator.attendance import participation_rows, with_recorded
from coordinator.errors import ConfigError
from coordinator.participation import participants
from coordinator.protocol.messages import Activations, Weights
from coordinator.schedule import Batch, schedule, steps_in
from coordinator.walking import has_trained

COMING = {"join": {"site0": 2}, "leave": {"site2": 1}}
ROUNDS = {"rounds": 3}
EPOCHS = {**ROUNDS, "epochs_by_site": {"site1": 3, "site3": 2}}
THERE = [(1, 2, 3), (1, 3), (0, 1, 3)]


def test_sites_are_there_from_when_they_join_until_they_leave():
    run = a_run("fedavg", SIZES, training=ROUNDS, **COMING)
    assert [participants(run, round_, 4) for round_ in range(3)] == THERE
    drawn = run.model_copy(update={"participation": 0.5})
    for round_, there in enumerate(THERE):
        chosen = participants(drawn, round_, 4)
        assert set(chosen) <= set(there)
        assert len(chosen) == round(0.5 * len(there))
    fronts = a_run("splitfed_v3", SIZES, training=ROUNDS, **COMING)
    assert [has_trained(fronts, SIZES, (), 0, (0, round_)) for round_ in range(3)] == [False, False, True]


@pytest.mark.parametrize("training", [ROUNDS, EPOCHS])
@pytest.mark.parametrize("turn", ["client", "batch"])
def test_sequential_learning_equals_centralized_on_the_same_list(turn, training):
    changes = {"turn": turn, "training": training, **COMING}
    reference = everything("centralized", SIZES, (6,), batches="by_site", **changes)
    for preset in ("split", "split_u"):
        assert_sequence(reference, ran(preset, **changes))
    full = everything("centralized", SIZES, (6,), batches="by_site", turn=turn, training=ROUNDS)
    assert not torch.equal(full[0]["stages.head.weight"], reference[0]["stages.head.weight"])


def test_cyclic_transfer_equals_centralized_on_the_same_list():
    reference = everything("centralized", SIZES, (6,), batches="by_site", training=EPOCHS, **COMING)
    assert_equal_runs(everything("cyclic", SIZES, (6,), training=EPOCHS, **COMING), reference)


def test_splitfed_v1_equals_fedavg():
    fedavg = ran("fedavg", training=EPOCHS, **COMING)
    splitfed = ran("splitfed_v1", training=EPOCHS, **COMING)
    front, back = splitfed[1][0][0].parts["front"], splitfed[0].parts["back"]
    assert_same({**front.state_dict(), **back.state_dict()}, fedavg[0].parts["model"].state_dict())


@pytest.mark.parametrize("preset", ["fedavg", "scaffold", "fednova", "splitfed_v2", "split", "split_private"])
def test_only_those_that_are_there_train(preset):
    training = {**EPOCHS, "optimizer": "sgd"}
    _, sites, run = ran(preset, training=training, **COMING)
    for index, (party, _, sent, _) in enumerate(sites):
        kind = Weights if run.algorithm == "federated" else Activations
        steps = [m for m in sent if isinstance(m, kind) and (kind is Weights or m.position[3] >= 0)]
        trained = {message.position[1] for message in steps}
        assert trained == {round_ for round_, there in enumerate(THERE) if index in there}
        assert party.records_trained == len(trained) * SIZES[index] * {1: 3, 3: 2}.get(index, 1)


def test_a_joint_step_is_over_those_that_are_there():
    _, sites, _ = ran("split_parallel", training=ROUNDS, **COMING)
    trained = [party.records_trained for party, *_ in sites]
    assert trained == [100, 3 * 40, 17, 3 * 3]


@pytest.mark.parametrize("preset", ["fedavg", "split", "split_u", "splitfed_v2"])
def test_every_site_has_its_say_in_every_round_s_validation(preset):
    """Of losses over different patients the least would say nothing about the model."""
    coordinator, sites, _ = ran(preset, training=ROUNDS, **COMING)
    assert [tuple(each.records for each in said) for said in coordinator.rounds] == [(5, 6, 7, 8)] * 3
    assert all(party.kept_at == coordinator.best_at for party, *_ in sites)


@pytest.mark.parametrize("rate", [0.01, 30.0])
def test_a_private_front_that_had_not_trained_scores_nobody(rate):
    training = {"rounds": 4, "optimizer": "sgd", "learning_rates": (rate,)}
    coordinator, sites, run = ran("split_private", training=training, join={"site0": 3})
    trained = has_trained(run, SIZES, (), 0, coordinator.best_at)
    assert trained == (rate < 1)
    for index, (party, logits, *_) in enumerate(sites):
        assert party.kept_at == coordinator.best_at
        assert torch.isnan(logits[0]).all() == (index == 0 and not trained)


def test_steps_are_counted_with_each_site_s_epochs():
    for preset in ("split", "multi_head", "splitfed_v1"):
        run = a_run(preset, SIZES, training=EPOCHS, **COMING)
        assert steps_in(run, SIZES) == sum(isinstance(item, Batch) for item in schedule(run, SIZES))
    pool = a_run("centralized", SIZES, training=EPOCHS)
    assert steps_in(pool, SIZES) == 3 * -(-sum(SIZES) // 16)


def recorded(tmp_path, run, change=lambda rows: rows):
    rows = participation_rows(run, [(0, round_) for round_ in range(run.training.rounds)])
    path = tmp_path / "participation.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in change(rows)), encoding="utf-8")
    return path


@pytest.mark.parametrize("preset", ["fedavg", "scaffold", "splitfed_v2", "splitfed_v3", "split"])
def test_what_was_recorded_can_be_repeated_to_the_bit(tmp_path, preset):
    training = {**EPOCHS, "optimizer": "sgd"}
    first = a_run(preset, SIZES, training=training, participation=0.5, cut=("layer1",), **COMING)
    path = recorded(tmp_path, first)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [len(row["sites"]) for row in rows] == [2, 1, 2]
    epochs = {"site1": 3, "site3": 2}
    assert all(row["epochs"] == [epochs.get(site, 1) for site in row["sites"]] for row in rows)
    plain = a_run(preset, SIZES, training=training, cut=("layer1",))
    again = with_recorded(plain, path)
    results = []
    for run in (first, again, plain):
        coordinator, outcomes, _ = federate(run, SIZES)
        results.append((tensors(coordinator), [outcomes[name][1][0] for name in run.parties]))
    assert all(torch.equal(results[0][0][name], results[1][0][name]) for name in results[0][0])
    for one, other in zip(results[0][1], results[1][1], strict=True):  # NaN where a front never trained
        torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)
    assert any(not torch.equal(results[0][0][name], results[2][0][name]) for name in results[0][0])


def renamed(rows):
    return [{**row, "sites": ["nowhere"], "epochs": [1]} for row in rows]


def longer(rows):
    return [{**row, "epochs": [epochs + 1 for epochs in row["epochs"]]} for row in rows]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (renamed, "'nowhere' took part"),
        (longer, "the study says"),
        (lambda rows: rows[1:], "expected rounds 0, 1"),
        (lambda rows: rows[:2], "set rounds: 2"),
        (
            lambda rows: [*rows, {**rows[0], "trial": 1, "sites": [], "epochs": []}],
            "trials differ in round 0",
        ),
        (lambda rows: [{"round": 0}], "not a run's participation.jsonl"),
        (lambda rows: [3], "not a run's participation.jsonl"),
        (lambda rows: [], "expected rounds"),
    ],
)
def test_a_file_that_cannot_be_repeated_is_refused(tmp_path, change, words):
    run = a_run("fedavg", SIZES, training=ROUNDS, participation=0.5)
    with pytest.raises(ConfigError, match=words):
        with_recorded(run, recorded(tmp_path, run, change))


def test_the_pool_records_itself():
    run = a_run("centralized", SIZES, training=EPOCHS)
    assert participation_rows(run, [(0, 1)]) == [{"trial": 0, "round": 1, "sites": ["pooled"], "epochs": [1]}]
