"""DP-SGD: its account equals Opacus's, its gradients are each patient's own, its sample is nobody else's."""

import numpy as np
import pytest
import torch
from federation import Killed, a_run, federate, rows
from opacus.accountants import RDPAccountant
from opacus.accountants.utils import get_noise_multiplier
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from coordinator.algorithms.building import builders_of
from coordinator.config import Budget, DpSgd, Model, Privacy
from coordinator.errors import ConfigError
from coordinator.models.stages import build
from coordinator.privacy.dp_sgd import clipped_sum, record_gradients, sampled, under_noise
from coordinator.privacy.sampled_accounting import epsilon, least_sampled_scale
from coordinator.protocol.messages import Weights
from sites.account import Account
from sites.protecting import guard_for

SIZES = (60, 24)
KEY = bytes(range(32))
SGD = Privacy(dp_sgd=DpSgd(clip=0.5, scale=1.0))


@pytest.mark.parametrize("steps", [[(1.1, 0.05, 100)], [(1.0, 1.0, 7)], [(0.8, 0.2, 30), (2.0, 0.2, 9)]])
def test_the_account_equals_opacus_s_own(tmp_path, steps):
    theirs, mine = RDPAccountant(), Account(tmp_path / "account.jsonl", {"train": np.arange(3)})
    for number, (scale, q, count) in enumerate(steps):
        for step in range(count):
            theirs.step(noise_multiplier=scale, sample_rate=q)
            mine.charge_step(f"{number} {step}", scale, q)
    expected = theirs.get_epsilon(delta=1e-5)
    assert mine.epsilons() == {"train": expected}
    assert Account(tmp_path / "account.jsonl", {"train": np.arange(3)}).epsilons() == {"train": expected}
    assert epsilon({(scale, q): count for scale, q, count in steps}, 1e-5) == expected


def test_the_noise_that_a_budget_needs_is_opacus_s():
    found = least_sampled_scale(0.05, 400, 3.0, 1e-5)
    theirs = get_noise_multiplier(target_epsilon=3.0, target_delta=1e-5, sample_rate=0.05, steps=400)
    assert found == pytest.approx(theirs, abs=0.02)
    assert epsilon({(found, 0.05): 400}, 1e-5) <= 3.0 < epsilon({(found - 0.02, 0.05): 400}, 1e-5)


MODELS = [
    (Model(name="mlp", hidden=(7, 5)), (6,)),
    (Model(name="logistic_regression"), (6,)),
    (Model(name="cnn", channels=(3, 4)), (1, 8, 8)),
]


@pytest.mark.parametrize(("model", "shape"), MODELS, ids=[model.name for model, _ in MODELS])
def test_a_record_s_gradient_is_the_one_it_has_alone(model, shape):
    part = build(builders_of(a_run("fedavg", (9,), model=model), shape), 3)
    data = rows(9, shape, "alone")

    def loss(module, which):
        logits = module(data.inputs[which], (3, "forward", 0))[:, 0]
        return binary_cross_entropy_with_logits(logits, data.labels[which], reduction="none")

    found, each = record_gradients(part, lambda module: loss(module, slice(None)))
    assert not [hook for module in part.modules() for hook in module._forward_hooks.values()]
    for record in range(9):
        alone = loss(part, slice(record, record + 1))
        assert float(alone.detach()) == pytest.approx(float(each[record]), rel=1e-5)
        expected = torch.autograd.grad(alone.sum(), list(part.parameters()))
        for mine, theirs in zip(found, expected, strict=True):
            assert torch.allclose(mine[record], theirs, atol=1e-6, rtol=1e-4)


def test_the_clip_is_of_all_that_a_patient_s_records_say():
    gradients = [torch.tensor([[3.0], [0.0], [0.1]]), torch.tensor([[0.0, 0.0], [0.0, 4.0], [0.0, 0.0]])]
    found = clipped_sum(gradients, np.array([8, 8, 2]), 1.0)
    assert float(found[0]) == pytest.approx(0.6 + 0.1, abs=1e-5)
    assert found[1].tolist() == pytest.approx([0.0, 0.8], abs=1e-5)
    apart = clipped_sum(gradients, np.array([0, 1, 2]), 1.0)
    assert float(apart[0]) == pytest.approx(1.1, abs=1e-5)
    assert apart[1].tolist() == pytest.approx([0.0, 1.0], abs=1e-5)


def test_a_layer_without_a_gradient_of_one_record_is_named():
    part = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 1))
    with pytest.raises(ConfigError, match="no gradient of one record"):
        record_gradients(part, lambda module: module(torch.zeros(2, 3))[:, 0])


def test_patients_are_taken_with_all_their_records_at_the_rate_and_by_the_key():
    patients = np.repeat(np.arange(5000), 2)
    found = sampled(KEY, patients, 0.1)
    assert set(np.bincount(patients[found])) == {0, 2}
    assert abs(len(found) / 10_000 - 0.1) < 0.02
    assert not np.array_equal(found, sampled(bytes(32), patients, 0.1))
    assert len(sampled(KEY, patients[:0], 0.1)) == 0


def test_noise_is_so_many_clips():
    found = under_noise([torch.zeros(40, 50), torch.zeros(7)], 0.5, 3.0, KEY)
    assert [each.shape for each in found] == [(40, 50), (7,)]
    assert float(found[0].std()) == pytest.approx(1.5, rel=0.05)


@pytest.mark.parametrize("preset", ["fedavg", "fedprox", "cyclic", "fednova", "fedbn"])
def test_a_run_trains_so_and_writes_every_step_down(tmp_path, preset):
    run = a_run(preset, SIZES, privacy=SGD, **({} if preset != "fednova" else {"training": SGDS}))
    party, outcomes, _ = federate(run, SIZES, guards=tmp_path)
    _, bare, _ = federate(run.model_copy(update={"privacy": Privacy()}), SIZES)
    for site, (size, steps) in zip(run.sites, ((60, 4), (24, 2)), strict=True):
        expected = epsilon({(1.0, 16 / size): 2 * steps}, 1e-5)  # two rounds
        assert outcomes[site][0].guard.account.epsilons()["train"] == expected
        mine, theirs = (found[site][0].parts["model"].state_dict() for found in (outcomes, bare))
        assert not torch.equal(mine["stages.head.weight"], theirs["stages.head.weight"])
    assert np.isfinite(party.best_loss)
    assert [each.train_records for each in party.rounds[0]] == list(SIZES)  # not how many were sampled


SGDS = {"optimizer": "sgd"}


def test_with_no_noise_a_huge_clip_and_every_patient_it_is_plain_training(tmp_path):
    quiet = Privacy(dp_sgd=DpSgd(clip=1e9, scale=1e-15))
    training = {"batch_size": 64, "rounds": 3, "optimizer": "sgd", "learning_rates": (0.5,)}
    model = Model(name="mlp", hidden=(16, 8))
    found = []
    for privacy in (quiet, Privacy()):
        run = a_run("fedavg", SIZES, model=model, training=training, privacy=privacy)
        _, outcomes, _ = federate(run, SIZES, guards=tmp_path / str(len(found)))
        found.append(outcomes["site0"][0].parts["model"].state_dict())
    for name, value in found[1].items():
        assert torch.allclose(found[0][name], value, atol=1e-5), name


def test_training_stops_before_the_budget_is_overdrawn_and_noise_is_found_for_it(tmp_path):
    budget = Budget(epsilon=4.0)
    privacy = Privacy(dp_sgd=DpSgd(clip=0.5), budget=budget)
    run = a_run("fedavg", SIZES, privacy=privacy, training={"rounds": 4})
    party, outcomes, _ = federate(run, SIZES, guards=tmp_path / "found")
    assert len(party.rounds) == 4
    for site in run.sites:
        assert 3.9 < outcomes[site][0].guard.account.epsilons()["train"] <= 4.0
    scale = outcomes["site0"][0].guard.scale
    loud = privacy.model_copy(update={"dp_sgd": DpSgd(clip=0.5, scale=0.9 * scale)})
    party, outcomes, _ = federate(run.model_copy(update={"privacy": loud}), SIZES, guards=tmp_path / "given")
    assert len(party.rounds) < 4
    assert max(outcomes[site][0].guard.account.epsilons()["train"] for site in run.sites) <= 4.0


def test_a_run_that_goes_on_takes_the_same_sample_and_noise(tmp_path):
    run = a_run("fedavg", SIZES, privacy=SGD, training={"rounds": 3})
    _, undisturbed, _ = federate(run, SIZES, guards=tmp_path)
    for site in run.sites:
        guard_for(run, 0, {}, tmp_path / "again" / site)
        secret = (tmp_path / site / "privacy.secret").read_bytes()
        (tmp_path / "again" / site / "privacy.secret").write_bytes(secret)
    left = [5]

    def watch(item, party):
        left[0] -= 1
        if not left[0]:
            raise Killed

    with pytest.raises(Killed):
        federate(run, SIZES, commits=tmp_path / "commits", watch=watch, guards=tmp_path / "again")
    _, again, _ = federate(run, SIZES, commits=tmp_path / "commits", guards=tmp_path / "again")
    for site in run.sites:
        one, other = (
            next(m for m in found[site][2][::-1] if isinstance(m, Weights)) for found in (undisturbed, again)
        )
        assert all(np.array_equal(a, b) for a, b in zip(one.tensors, other.tensors, strict=True))
        accounts = [found[site][0].guard.account for found in (undisturbed, again)]
        assert accounts[0].epsilons() == accounts[1].epsilons()
