"""Metrics against scikit-learn and by hand, and the bootstrap's weights against both."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from coordinator.comparison.resampling import resample_patients
from coordinator.comparison.weighted import weighted_metrics
from coordinator.metrics import METRICS, bin_of, ece, measure

SK = {
    "auroc": lambda y, s, w: sk.roc_auc_score(y, s, sample_weight=w),
    "auprc": lambda y, s, w: sk.average_precision_score(y, s, sample_weight=w),
    "accuracy": lambda y, s, w: sk.accuracy_score(y, s >= 0.5, sample_weight=w),
    "balanced_accuracy": lambda y, s, w: sk.balanced_accuracy_score(y, s >= 0.5, sample_weight=w),
    "f1": lambda y, s, w: sk.f1_score(y, s >= 0.5, sample_weight=w),
    "brier": lambda y, s, w: sk.brier_score_loss(y, s, sample_weight=w),
}


def records(seed: int, n: int, levels: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    label = draw.integers(0, 2, n)
    label[:2] = 0, 1
    weights = draw.integers(0, 4, (6, n)).astype(np.uint16)
    weights[:, :2] += 1  # both classes in every resample
    return label, draw.integers(0, levels + 1, n) / levels, weights


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(2, 50), levels=st.sampled_from([1, 3, 15, 1000]))
def test_weighted_metrics_equal_scikit_learn_with_sample_weights(seed: int, n: int, levels: int) -> None:
    label, score, weights = records(seed, n, levels)  # few levels: many ties
    found = weighted_metrics(label, score, weights)
    for name, metric in SK.items():
        expected = [metric(label, score, row) for row in weights]
        np.testing.assert_allclose(found[name], expected, atol=1e-12, err_msg=name)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(2, 50))
def test_a_weight_counts_a_record_as_often(seed: int, n: int) -> None:
    label, score, weights = records(seed, n, 1000)
    found = weighted_metrics(label, score, weights)
    for i, row in enumerate(weights):
        copies = measure(np.repeat(label, row), np.repeat(score, row))
        for name in METRICS:
            expected = copies[name].value
            fitted = name.startswith("calibration")
            assert found[name][i] == pytest.approx(
                np.nan if expected is None else expected, abs=1e-7 if fitted else 1e-12, nan_ok=True
            ), name


def test_calibration_error_by_hand() -> None:
    label, score = np.array([0, 1, 1, 1]), np.array([0.01, 0.02, 0.99, 1.0])
    # the first bin holds two records: share 0.5, mean score 0.015; the last two: share 1, mean 0.995
    assert ece(label, score).value == pytest.approx((2 * 0.485 + 2 * 0.005) / 4)


def test_bins_are_closed_on_the_left_and_the_last_on_both_sides() -> None:
    assert bin_of(np.array([0.0, 0.2, 14 / 15, 1.0])).tolist() == [0, 3, 14, 14]


@pytest.mark.parametrize("only", [0, 1])
def test_one_class_leaves_ranking_metrics_undefined_with_the_reason(only: int) -> None:
    found = measure(np.full(5, only), np.linspace(0.6, 0.9, 5))
    for name in ("auroc", "auprc", "balanced_accuracy"):
        assert found[name].value is None
        assert "one class" in found[name].reason
    assert found["accuracy"].value == only
    assert found["brier"].value is not None


def test_f1_without_positive_and_without_alarm_is_undefined() -> None:
    found = measure(np.zeros(3, np.int64), np.full(3, 0.1))["f1"]
    assert found == (None, "no positive label and none predicted")


def test_no_records_and_diverged_scores_have_reasons_for_all_metrics() -> None:
    empty = measure(np.zeros(0, np.int64), np.zeros(0))
    diverged = measure(np.array([0, 1]), np.array([0.5, np.nan]))
    assert set(empty.values()) == {(None, "no test records")}
    assert all(value.value is None and "diverged" in value.reason for value in diverged.values())


def cohort() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    draw = np.random.default_rng(0)
    site = np.repeat([0, 1, 2], [60, 30, 10])
    patient = draw.integers(0, 15, 100)  # several records each; the same numbers at every site
    label = (patient % 3 == 0).astype(np.int64)
    return site, patient, label


def test_resamples_keep_a_patient_together_and_each_stratum_as_large() -> None:
    site, patient, label = (each[:90] for each in cohort())
    weights = resample_patients(site, patient, label, resamples=50, keyed=(0, "task"))
    for place in range(2):
        for outcome in (0, 1):
            members = (site == place) & (label == outcome)
            first = [np.flatnonzero(members & (patient == p))[0] for p in np.unique(patient[members])]
            assert weights[:, first].sum(axis=1) == pytest.approx(len(first), rel=1e-6)
        for p in np.unique(patient[site == place]):
            own = weights[:, (site == place) & (patient == p)]
            assert (own == own[:, :1]).all()
    assert len(np.unique(weights, axis=0)) > 40


@pytest.mark.parametrize("size", [2, 3, 8, 40])
def test_the_variance_of_a_stratum_s_mean_is_not_too_small(size: int) -> None:
    value = np.random.default_rng(0).normal(size=size)
    zeros = np.zeros(size, np.int64)
    weights = resample_patients(zeros, np.arange(size), zeros, resamples=20_000, keyed=("mean",))
    means = (weights * value).mean(axis=1)
    assert means.var() == pytest.approx(value.var(ddof=1) / size, rel=0.05)


def test_small_strata_are_drawn_with_those_of_their_outcome() -> None:
    site, label = np.arange(12) // 2, np.tile([0, 1], 6)  # one patient of each outcome at six sites
    weights = resample_patients(site, np.arange(12), label, resamples=200, keyed=("small",))
    assert (weights.std(axis=0) > 0.5).all()
    assert weights[:, label == 1].sum(axis=1) == pytest.approx(6)


def test_resamples_depend_on_their_key_only() -> None:
    first, again = (resample_patients(*cohort(), resamples=5, keyed=(0, "task")) for _ in range(2))
    other = resample_patients(*cohort(), resamples=5, keyed=(1, "task"))
    assert (first == again).all()
    assert (first != other).any()


def test_the_bootstrap_covers_as_often_as_it_says() -> None:
    """AUROC of two normals one standard deviation apart is 0.760: about 95 of 100 intervals hold it."""
    held = 0
    for seed in range(100):
        draw = np.random.default_rng(seed)
        label = np.repeat([0, 1], 60)
        score = 1 / (1 + np.exp(-(draw.normal(size=120) + label)))
        weights = resample_patients(
            np.zeros(120, int), np.arange(120), label, resamples=200, keyed=("coverage", seed)
        )
        low, high = np.quantile(weighted_metrics(label, score, weights)["auroc"], [0.025, 0.975])
        held += low <= 0.7602 <= high
    assert held >= 87
