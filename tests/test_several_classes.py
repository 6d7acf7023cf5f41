"""Metrics of more than two classes, as scikit-learn has them, and what is compared by them."""

import numpy as np
import pytest
from sklearn import metrics as sk

from coordinator import metrics
from coordinator.comparison import several_classes
from coordinator.comparison.class_metrics import METRICS, measure, weighted_metrics
from coordinator.comparison.differences import difference_rows
from coordinator.comparison.estimates import ALL, STRATIFIED, reason_rows
from coordinator.comparison.power import power_rows, secondary_rows
from coordinator.comparison.predictions import TaskScores
from coordinator.comparison.resampling import resample_patients

CLASSES = ("nv", "mel", "bcc")
RARE = "no test record of bcc"


def drawn(seed, n=120, signal=1.0):
    draw = np.random.default_rng(seed)
    label = draw.choice(3, n, p=(0.6, 0.3, 0.1))
    logits = draw.normal(size=(n, 3)) + signal * np.eye(3)[label]
    score = np.exp(np.round(logits, 1))  # with ties
    return label, score / score.sum(axis=1, keepdims=True)


def expected(label, score, weight=None):
    """Every metric by scikit-learn, but for the calibration error, which it has not."""
    guess, own = score.argmax(axis=1), np.eye(3)[label]
    often = {"sample_weight": weight}
    top = metrics.ece(np.ones(len(label), np.int64), np.ones(len(label)))  # 0, of no meaning
    assert top == metrics.Value(0.0)
    return {
        "auroc": sk.roc_auc_score(label, score, multi_class="ovr", average="macro", **often),
        "auprc": sk.average_precision_score(own, score, average="macro", **often),
        "accuracy": sk.accuracy_score(label, guess, **often),
        "balanced_accuracy": sk.balanced_accuracy_score(label, guess, **often),
        "f1": sk.f1_score(label, guess, average="macro", **often),
        "brier": np.average(((score - own) ** 2).sum(axis=1), weights=weight) / 2,
        "log_loss": sk.log_loss(label, score, **often),
    }


def test_every_metric_is_scikit_learn_s():
    label, score = drawn(0)
    found = {name: value.value for name, value in measure(label, score, CLASSES).items()}
    for name, value in expected(label, score).items():
        assert found[name] == pytest.approx(value, abs=1e-12), name
    of_classes = [found[f"auroc_{name}"] for name in CLASSES]
    assert of_classes == [sk.roc_auc_score(label == k, score[:, k]) for k in range(3)]
    assert found["auroc"] == pytest.approx(np.mean(of_classes), abs=1e-12)


def test_the_calibration_error_is_of_what_was_predicted():
    label, score = drawn(1)
    hit, sure = (score.argmax(axis=1) == label).astype(np.int64), score.max(axis=1)
    assert measure(label, score, CLASSES)["ece"] == metrics.ece(hit, sure)


def test_resampled_metrics_are_those_of_weighted_records():
    label, score = drawn(2)
    weights = np.random.default_rng(0).integers(0, 4, (6, len(label))).astype(np.float32)
    found = weighted_metrics(label, score, weights)
    for i, weight in enumerate(weights):
        for name, value in expected(label, score, weight).items():
            assert found[name][i] == pytest.approx(value, abs=1e-9), name
    once = weighted_metrics(label, score, np.ones((1, len(label)), np.float32))
    for name in METRICS:
        assert once[name][0] == pytest.approx(measure(label, score, CLASSES)[name].value, abs=1e-12)


def test_what_is_undefined_says_why():
    label, score = drawn(3)
    some = label < 2
    found = measure(label[some], score[some], CLASSES)
    for name in ("auroc", "auprc", "balanced_accuracy", "f1", "auroc_bcc"):
        assert found[name] == metrics.Value(None, RARE)
    assert found["auroc_mel"].value is not None
    assert found["accuracy"].value is not None
    one = measure(label[label == 1], score[label == 1], CLASSES)
    assert one["auroc_mel"].reason == "no test record beside those of mel"
    assert set(measure(label[:0], score[:0], CLASSES).values()) == {metrics.Value(None, "no test records")}
    drawn_again = weighted_metrics(label[some], score[some], np.ones((2, some.sum()), np.float32))
    assert np.isnan(drawn_again["auroc"]).all()
    assert np.isnan(drawn_again["f1"]).all()


def task(n=120, **changes):
    """Two sites' test records, as three strategies scored them: one is the reference's twin, one is worse."""
    label, score = drawn(4, n)
    _, other = drawn(4, n, signal=0.3)
    scores = {
        "centralized": {0: score, 1: score},
        "twin": {0: score, 1: score},
        "worse": {0: other, 1: other},
    }
    fields = {"site": np.arange(n) % 2, "patient": np.arange(n), "label": label, "scores": scores}
    return TaskScores("lesions", ("north", "south"), **(fields | changes), classes=CLASSES)


def estimated(scores):
    weights = resample_patients(
        scores.site, scores.patient, scores.label, resamples=200, keyed=(0,), classes=len(CLASSES)
    )
    return several_classes.estimate(scores, weights)


def test_strategies_are_compared_by_the_mean_over_classes():
    scores = task()
    found = estimated(scores)
    verdicts, effects, surprises = difference_rows(
        scores, found, reference="centralized", margin=0.02, identical={"lesions/twin": "centralized"}
    )
    assert [row["verdict"] for row in verdicts] == ["identical", "worse"]
    means = [
        np.mean([expected(scores.label, each)["auroc"] for each in scores.scores[name].values()])
        for name in ("worse", "centralized")
    ]
    assert verdicts[1]["difference"] == pytest.approx(means[0] - means[1], abs=1e-12)
    assert not surprises
    assert {row["metric"] for row in effects} == {"auroc", "auroc_stratified"}
    power = power_rows(scores, found, reference="centralized", margin=0.02)
    assert all("planned" not in row and row["events"] is None and row["detectable"] > 0 for row in power[1:])
    others = secondary_rows(scores, found, reference="centralized", twins={"lesions/twin": "centralized"})
    assert {row["metric"] for row in others} == {*METRICS[1:], *(f"auroc_{name}" for name in CLASSES)}


def test_resamples_keep_every_class_and_every_patient_s_records_together():
    scores = task()
    weights = resample_patients(
        scores.site, scores.patient // 2, scores.label, resamples=50, keyed=(0,), classes=3
    )
    for number in range(3):
        assert (weights[:, scores.label == number].sum(axis=1) > 0).all()


def test_resamples_keep_how_many_records_a_site_has_of_each_class():
    label, site = np.repeat([0, 1, 2, 0, 1, 2], [20, 9, 6, 12, 8, 7]), np.repeat([0, 1], [35, 27])
    weights = resample_patients(site, np.arange(len(label)), label, resamples=40, keyed=(0,), classes=3)
    for place, number in ((place, number) for place in range(2) for number in range(3)):
        inside = (site == place) & (label == number)
        np.testing.assert_allclose(weights[:, inside].sum(axis=1), inside.sum(), rtol=1e-5)


def test_the_stratified_value_compares_no_two_hospitals_patients():
    scores = task()
    found = estimated(scores)["worse"][STRATIFIED, "auroc"]
    expected_value = []
    for number in range(3):
        areas, pairs = [], []
        for site in range(2):
            own = scores.label[scores.site == site] == number
            score = scores.scores["worse"][0][scores.site == site][:, number]
            areas.append(sk.roc_auc_score(own, score))
            pairs.append(own.sum() * (~own).sum())
        expected_value.append(np.average(areas, weights=pairs))
    assert found.values[0].value == pytest.approx(np.mean(expected_value), abs=1e-12)
    assert np.isfinite(found.resampled).all()
    assert abs(found.resampled.mean() - found.values[0].value) < 0.05


def test_each_class_is_told_with_its_records():
    scores = task()
    found = estimated(scores)
    rows = several_classes.class_rows(scores, found, min_cell=5)
    assert [row["class"] for row in rows[:3]] == list(CLASSES)
    assert [row["records"] for row in rows[:3]] == np.bincount(scores.label).tolist()
    assert all(row["ci_low"] < row["value"] < row["ci_high"] for row in rows)
    few = several_classes.class_rows(scores, found, min_cell=int((scores.label == 2).sum()) + 1)
    assert [row["hidden"] for row in few[:3]] == [None, "guarded", "few"]
    assert [row["records"] is None for row in few[:3]] == [False, True, True]


def test_a_class_without_test_records_leaves_the_others():
    whole = task()
    kept = whole.label < 2
    scores = {name: {seed: each[kept] for seed, each in own.items()} for name, own in whole.scores.items()}
    some = task(site=whole.site[kept], patient=whole.patient[kept], label=whole.label[kept], scores=scores)
    found = estimated(some)
    rows = several_classes.class_rows(some, found, min_cell=5)
    assert [row["reason"] for row in rows[:3]] == [None, None, RARE]
    assert rows[2]["records"] == 0
    assert {row["reason"] for row in reason_rows("lesions", dict.fromkeys(found, (0, 1)), found)} == {RARE}
    verdicts, *_ = difference_rows(some, found, reference="centralized", margin=0.02, identical={})
    assert {row["verdict"] for row in verdicts} == {"inconclusive"}
    assert found["worse"][ALL, "auroc_mel"].values[0].value is not None


def test_a_site_that_was_away_makes_the_whole_unavailable():
    scores = task(away={"worse": ("south",)})
    found = estimated(scores)["worse"]
    for place in ("south", ALL):
        assert found[place, "auroc"].values[0].reason.startswith("not available: south was away")
    assert found["north", "auroc"].values[0].value is not None
    assert found[STRATIFIED, "auroc"].values[0].value is None
