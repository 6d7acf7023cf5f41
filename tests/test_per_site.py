"""Estimates that sites could send instead of scores give what the scores give."""

import numpy as np
import pytest

from coordinator.comparison import delong
from coordinator.comparison.differences import difference_rows, pairs_of
from coordinator.comparison.estimates import estimate
from coordinator.comparison.per_site import (
    SCORE_BINS,
    estimates_of,
    per_site_rows,
    pooled_from_bins,
    together,
)
from coordinator.comparison.predictions import TaskScores
from coordinator.comparison.resampling import resample_patients
from coordinator.metrics import auroc

SKILLS = {"centralized": 2.0, "split": 1.5, "fedavg": 2.0}


def study(records=90, seeds=(0, 1, 2)):
    draw = np.random.default_rng(0)
    site = np.repeat([0, 1, 2], records)
    patient = np.tile(np.arange(records) // 2, 3)  # two records each, often of both classes
    label = (np.arange(3 * records) % 3 == 0).astype(np.int64)
    own = draw.normal(size=len(label))
    scores = {
        name: {
            seed: 1 / (1 + np.exp(-(skill * (label - 0.5) + own + 0.4 * draw.normal(size=len(label)))))
            for seed in seeds
        }
        for name, skill in SKILLS.items()
    }
    return TaskScores("t", ("a", "b", "c"), site, patient, label, scores)


def test_covariances_are_those_of_variances_of_sums():
    """Var(A + B) = Var(A) + Var(B) + 2 Cov(A, B), by the variance that is checked against its definition."""
    given = study()
    inside = given.site == 0
    label, patient = given.label[inside], given.patient[inside]
    one, other = (delong.placements(label, given.scores[n][0][inside]) for n in ("split", "fedavg"))
    found = delong.covariance(label, patient, np.stack([one, other]))
    whole = delong.variance(label, patient, one + other)
    assert whole == pytest.approx(found.sum(), abs=1e-15)
    assert found[0, 0] == pytest.approx(delong.variance(label, patient, one), abs=1e-15)
    assert abs(found[0, 1]) > 1e-5


def test_the_study_s_value_is_the_stratified_one_and_its_interval_near():
    given = study()
    weights = resample_patients(given.site, given.patient, given.label, resamples=1000, keyed=("t",))
    estimates = estimate(given, weights)
    _, effects, _ = difference_rows(given, estimates, reference="centralized", margin=0.05, identical={})
    by_scores = {row["strategy"]: row for row in effects if row["metric"] == "auroc_stratified"}
    for row in per_site_rows(given, pairs_of("t", list(SKILLS), "centralized", {})):
        other = by_scores[row["strategy"]]
        assert row["difference"] == pytest.approx(other["difference"], abs=1e-12)
        width = other["high_90"] - other["low_90"]
        assert row["high_90"] - row["low_90"] == pytest.approx(width, rel=0.15)


def test_the_pooled_auroc_from_bins_is_within_its_bound():
    given = study()
    rows = per_site_rows(given, [("split", "centralized")])
    exact = np.mean([auroc(given.label, score).value for score in given.scores["split"].values()])
    assert rows[0]["pooled"] == pytest.approx(exact, abs=1e-12)
    assert 0 < abs(rows[0]["binned"] - exact) <= rows[0]["bound"] < 0.01
    apart = np.array([[5, 0, 1], [0, 3, 1]])
    area, bound = pooled_from_bins(apart)
    assert (area, bound) == pytest.approx(((3 * 5 + 5 + 0.5) / 24 + 0.5 * 0 / 24, 0.5 / 24))


def test_nothing_but_estimates_and_counts_leaves():
    given = study()
    inside = given.site == 1
    runs = np.stack([score[inside] for score in given.scores["split"].values()])
    found = estimates_of(given.label[inside], given.patient[inside], runs)
    assert found is not None
    assert found.bins.shape == (3, 2, SCORE_BINS)
    assert found.bins.sum(axis=(1, 2)).tolist() == [90, 90, 90]
    assert found.covariance.shape == (3, 3)
    alone, variances = together([found])
    assert alone == pytest.approx(found.areas)
    assert variances == pytest.approx(found.covariance)


def test_a_site_of_one_class_counts_in_the_bins_alone():
    given = study()
    label = np.where(given.site == 2, 1, given.label)
    changed = TaskScores("t", given.sites, given.site, given.patient, label, given.scores)
    weights = resample_patients(given.site, given.patient, label, resamples=100, keyed=("t",))
    _, effects, _ = difference_rows(
        changed, estimate(changed, weights), reference="centralized", margin=0.05, identical={}
    )
    (row,) = per_site_rows(changed, [("split", "centralized")])
    by_scores = next(e for e in effects if (e["strategy"], e["metric"]) == ("split", "auroc_stratified"))
    assert row["difference"] == pytest.approx(by_scores["difference"], abs=1e-12)
    assert abs(row["binned"] - row["pooled"]) <= row["bound"]


def test_a_lone_event_leaves_no_interval():
    given = study()
    label = np.where(given.site == 2, (np.arange(len(given.label)) == 200).astype(np.int64), given.label)
    changed = TaskScores("t", given.sites, given.site, given.patient, label, given.scores)
    (row,) = per_site_rows(changed, [("split", "centralized")])
    assert row["difference"] is not None
    assert row["low_90"] is None
