"""Outcomes of three classes: the equalities, and what a site may send."""

import numpy as np
import pytest
import torch
from federation import Killed, a_run, federate, rows
from test_exactness import SIZES, assert_equal_runs, everything
from test_resume import TRAINING, after, assert_same_parts, parts_of
from torch.nn.functional import cross_entropy

from coordinator.algorithms.cohort import Rows
from coordinator.algorithms.party import score
from coordinator.algorithms.tensors import labels_from
from coordinator.algorithms.training import loss_of, loss_sum, ranked_pairs
from coordinator.config import DpSgd, Model, Privacy
from coordinator.errors import ProtocolError
from coordinator.presets import PRESETS
from coordinator.schedule import schedule
from coordinator.traffic import scored, widths_of
from tests.finished_run import cut_for
from tests.test_traffic import counted, expected

CLASSES = ("nv", "mel", "bcc")
CNN = Model(name="cnn", channels=(4, 8), dropout=0.2)
DP = Privacy(dp_sgd=DpSgd(clip=0.5, scale=1.0))
SPLIT = {"split": ("layer1",), "split_u": ("layer1", "layer2")}


def three(preset, sizes, shape=(6,), **changes):
    return everything(preset, sizes, shape, classes=CLASSES, **changes)


def test_the_records_of_these_tests_have_three_classes():
    labels = rows(100, (6,), 0, "train", classes=3).labels
    assert labels.dtype == torch.float32
    assert sorted(set(labels.tolist())) == [0.0, 1.0, 2.0]


@pytest.mark.parametrize("preset", SPLIT)
def test_split_over_unequal_sites_equals_centralized_on_the_same_list(preset):
    reference = three("centralized", SIZES, batches="by_site")
    found = three(preset, SIZES, cut=SPLIT[preset])
    assert_equal_runs(found, reference)
    assert found[1][0].shape == (7, 3)


@pytest.mark.parametrize("preset", ["split", "split_u", "fedavg", "local"])
def test_one_site_equals_centralized(preset):
    changes = {"cut": SPLIT[preset]} if preset in SPLIT else {}
    if preset == "fedavg":
        changes = {"optimizer_state": "kept"}
    assert_equal_runs(three(preset, (60,), **changes), three("centralized", (60,)))


def test_images_train_too():
    reference = three("centralized", (40, 9), (1, 8, 8), model=CNN, batches="by_site")
    assert_equal_runs(three("split", (40, 9), (1, 8, 8), model=CNN, cut=("conv1",)), reference)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_strategy_learns_and_sends_what_the_closed_form_says(preset):
    plain = preset in ("scaffold", "fednova")
    training = {"rounds": 4, "optimizer": "sgd" if plain else "adam"}
    run = a_run(preset, (40, 20), cut=cut_for(preset), training=training, classes=CLASSES)
    party, outcomes, channel = federate(run, (40, 20))
    if preset != "centralized":
        assert counted(channel) == expected(run, party.cohort)
    losses = [
        sum(each.loss for each in round_) / sum(each.records for each in round_)
        for round_ in (party.rounds or next(iter(outcomes.values()))[0].rounds)
    ]
    assert min(losses) < np.log(3)  # what guessing costs
    for _, logits, *_ in outcomes.values():
        assert all(each.shape == (7, 3) and torch.isfinite(each).all() for each in logits)


@pytest.mark.parametrize("preset", ["split", "split_u", "splitfed_v1", "fedadam"])
def test_a_killed_run_ends_as_an_undisturbed_one(tmp_path, preset):
    run = a_run(preset, SIZES, training=TRAINING, cut=cut_for(preset), classes=CLASSES)
    undisturbed, sites = parts_of(federate(run, SIZES))
    half = sum(1 for _ in schedule(run, SIZES)) // 2
    with pytest.raises(Killed):
        federate(run, SIZES, commits=tmp_path, watch=after(half))
    found, again = parts_of(federate(run, SIZES, commits=tmp_path))
    assert (found.best_at, found.best_loss) == (undisturbed.best_at, undisturbed.best_loss)
    assert_same_parts(found, undisturbed)
    for site, (party, logits) in again.items():
        assert_same_parts(party, sites[site][0])
        assert all(torch.equal(a, b) for a, b in zip(logits, sites[site][1], strict=True))


def test_scores_come_down_as_a_logit_for_each_class():
    run = a_run("split", (9,), classes=CLASSES)
    party, *_ = federate(run, (9,))
    (_, scores) = scored(run, (9,), widths_of(run, party.cohort), labels=False)
    assert scores.payload == 4 * 9 * 3


def test_dp_sgd_clips_a_gradient_of_each_record(tmp_path):
    plain, private = (everything_of(privacy, tmp_path / str(i)) for i, privacy in enumerate((Privacy(), DP)))
    assert all(torch.isfinite(each).all() for each in private)
    assert any(not torch.equal(a, b) for a, b in zip(plain, private, strict=True))


def everything_of(privacy, folder):
    run = a_run("fedavg", (40, 20), training={"optimizer": "sgd"}, classes=CLASSES, privacy=privacy)
    _, outcomes, _ = federate(run, (40, 20), guards=folder)
    return outcomes["site0"][1]


def test_the_loss_is_the_softmax_s():
    logits, labels = torch.randn(12, 3), torch.arange(12.0) % 3
    assert torch.equal(loss_of(logits, labels), cross_entropy(logits, labels.long()))
    whole = loss_sum(logits, labels)
    assert whole == pytest.approx(12 * float(cross_entropy(logits.double(), labels.long())), abs=1e-12)
    assert ranked_pairs(logits, labels, 1) == (0.0, 0)


def test_a_hospital_without_test_records_has_logits_of_every_class():
    run = a_run("local", (9,), classes=CLASSES)
    party, *_ = federate(run, (9,))[1]["site0"]
    assert score(party, Rows(torch.empty(0, 6), torch.empty(0))).shape == (0, 3)


@pytest.mark.parametrize("label", [3.0, -1.0, 0.5, float("nan")])
def test_a_label_that_is_no_class_is_refused(label):
    run = a_run("split", (9,), classes=CLASSES)
    with pytest.raises(ProtocolError, match="'site0' sent a label that is none of the 3 classes"):
        labels_from(np.array([0.0, label], np.float32), 2, run, "site0")
    assert labels_from(np.array([0.0, 2.0], np.float32), 2, run, "site0").tolist() == [0.0, 2.0]
