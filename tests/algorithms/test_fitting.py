"""What fits a model changes no equality: class weights, the rate's schedule, clipping by the global norm."""

import numpy as np
import pytest
import torch
from federation import a_run, federate, rows
from sklearn.utils.class_weight import compute_class_weight
from test_exactness import MLP, SIZES, assert_equal_runs, everything
from test_split_family import PLAIN, assert_alike_logits, cut_for, largest, ran
from torch import nn

from coordinator.algorithms.class_weights import agreed_weights, balanced
from coordinator.algorithms.clipping import alone
from coordinator.algorithms.optimizers import Optimizer
from coordinator.algorithms.training import loss_of, loss_sum
from coordinator.config import Clip, Model, Training
from coordinator.errors import DataError
from coordinator.protocol.messages import Norms

CLIP = {"clip": Clip(norm=0.2)}
BY_PARTY = {"clip": Clip(norm=0.2, scope="party")}
ALL_AT_ONCE = {
    "optimizer": "adam", "rounds": 3, "schedule": "cosine", "warm_up": 1, "class_weights": "balanced", **CLIP,
}  # fmt: skip
FITTINGS = {
    "clip": {"optimizer": "sgd", **CLIP},
    "class weights": {"class_weights": "balanced"},
    "schedule": {"rounds": 3, "schedule": "step", "step_rounds": 1, "step_factor": 0.3},
    "all": ALL_AT_ONCE,
}


@pytest.mark.parametrize("name", FITTINGS)
def test_split_over_unequal_sites_equals_centralized_on_the_same_list(name):
    training = FITTINGS[name]
    reference = everything("centralized", SIZES, (6,), training=training, batches="by_site")
    for preset in ("split", "split_u", "cyclic"):
        assert_equal_runs(everything(preset, SIZES, (6,), training=training, cut=cut_of(preset)), reference)
    plain = {"optimizer": training.get("optimizer", "adam"), "rounds": training.get("rounds", 2)}
    without = everything("centralized", SIZES, (6,), training=plain, batches="by_site")
    assert not torch.equal(without[0]["stages.head.weight"], reference[0]["stages.head.weight"])


@pytest.mark.parametrize("name", FITTINGS)
@pytest.mark.parametrize("preset", ["split", "split_u", "fedavg", "local", "cyclic", "splitfed_v2"])
def test_one_site_equals_centralized(preset, name):
    kept = {"optimizer_state": "kept"} if preset in ("fedavg", "splitfed_v2") else {}
    reference = everything("centralized", (100,), (6,), training=FITTINGS[name])
    found = everything(preset, (100,), (6,), training=FITTINGS[name], cut=cut_of(preset), **kept)
    assert_equal_runs(found, reference)


def test_a_network_of_the_study_s_own_is_clipped_as_if_it_were_not_cut():
    own = {"model": Model(name="module", path="tests.own_networks:Table"), "training": ALL_AT_ONCE}
    reference = everything("centralized", SIZES, (6,), batches="by_site", **own)
    for preset, cut in (("split", ("first",)), ("split_u", ("first", "second"))):
        assert_equal_runs(everything(preset, SIZES, (6,), cut=cut, **own), reference)


def cut_of(preset):
    return cut_for(preset) if preset not in ("fedavg", "local", "cyclic") else ("layer1",)


@pytest.mark.parametrize("state", ["restarted", "kept"])
def test_splitfed_v1_equals_fedavg(state):
    fedavg = ran("fedavg", training=ALL_AT_ONCE, optimizer_state=state)
    splitfed = ran("splitfed_v1", training=ALL_AT_ONCE, optimizer_state=state)
    parts = {**splitfed[1][0][0].parts["front"].state_dict(), **splitfed[0].parts["back"].state_dict()}
    whole = fedavg[0].parts["model"].state_dict()
    assert parts.keys() == whole.keys()
    assert all(torch.equal(parts[name], whole[name]) for name in whole)


@pytest.mark.parametrize("labels", ["shared", "private"])
def test_a_joint_step_is_clipped_as_a_large_batch_is(labels):
    training = {"optimizer": "sgd", "rounds": 5, **CLIP}
    changes = {"labels": labels, "cut": ("layer1", "layer2")[: 1 + (labels == "private")]}
    found = everything("split_parallel", SIZES, (6,), model=PLAIN, training=training, **changes)
    reference = everything("centralized", SIZES, (6,), model=PLAIN, training=training, batches="joint")
    assert largest(found[0], reference[0]) < 1e-6
    assert_alike_logits(found[1], reference[1])
    free = everything("split_parallel", SIZES, (6,), model=PLAIN,
                      training={"optimizer": "sgd", "rounds": 5}, **changes)  # fmt: skip
    assert largest(found[0], free[0]) > 1e-3


@pytest.mark.parametrize("preset", ["split", "split_private", "split_parallel"])
def test_clipping_party_by_party_tells_no_length_and_differs(preset):
    norms = {}
    for scope, clip in (("global", CLIP), ("party", BY_PARTY)):
        coordinator, sites, _ = ran(preset, training={"optimizer": "sgd", **clip})
        sent = [message for *_, sent, _ in sites for message in sent if isinstance(message, Norms)]
        norms[scope] = next(iter(coordinator.parts.values())).state_dict()
        assert bool(sent) == (scope == "global" and preset != "split_parallel")
    assert any(not torch.equal(norms["global"][name], norms["party"][name]) for name in norms["party"])


@pytest.mark.parametrize("limit", [0.01, 1e9])
def test_a_gradient_is_shortened_as_torch_does_it(limit):
    models = []
    for ours in (True, False):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(5, 3), nn.Linear(3, 1))
        training = Training(optimizer="sgd", clip=Clip(norm=limit))
        optimizer = Optimizer(model, training, 0.1)
        model(torch.ones(4, 5)).square().mean().backward()
        if not ours:
            nn.utils.clip_grad_norm_(model.parameters(), limit, foreach=False)
        optimizer.descend(0, alone(optimizer) if ours else None)
        models.append(list(model.parameters()))
    assert all(torch.equal(one, other) for one, other in zip(*models, strict=True))


def test_balanced_weights_are_scikit_learn_s_and_weigh_the_classes_alike():
    labels = torch.tensor([1.0] * 3 + [0.0] * 9)
    weights = balanced(12, 3)
    assert weights == pytest.approx(
        compute_class_weight("balanced", classes=np.array([0, 1]), y=labels.numpy())
    )
    logits = torch.zeros(12, 1)
    plain = float(loss_of(logits, labels))
    assert float(loss_of(logits, labels, weights)) == pytest.approx(plain)  # the weights' mean is 1
    parts = [loss_sum(logits[at], labels[at], weights) for at in (slice(0, 3), slice(3, 12))]
    assert parts[0] == pytest.approx(parts[1])


def test_a_site_with_one_class_or_without_a_count_is_as_the_docstring_says():
    run = a_run("fedavg", (100, 50, 3))
    assert balanced(9, 0) == balanced(9, 9) == (1.0, 1.0)
    assert agreed_weights(run, (100, 50, 3), (10, 20, None)) == balanced(150, 30)
    with pytest.raises(DataError, match="may tell it"):
        agreed_weights(run, (100, 50, 0), (None, None, 0))


def test_together_all_sites_have_one_vector_and_alone_each_its_own():
    training = {"class_weights": "balanced", "rounds": 1}
    counts = [int(rows(size, (6,), i, "train").labels.sum()) for i, size in enumerate(SIZES)]
    for preset, expected in (
        ("fedavg", [balanced(sum(SIZES), sum(counts))] * 4),
        ("local", list(map(balanced, SIZES, counts))),
    ):
        run = a_run(preset, SIZES, training=training, model=MLP)
        _, outcomes, _ = federate(run, SIZES)
        assert [outcomes[name][0].class_weights for name in run.parties] == expected
    assert len(set(expected)) > 1
