"""Estimates that sites could send instead of scores give what the scores give."""

import numpy as np
import pytest

from coordinator.comparison import delong
from coordinator.comparison.binned import SCORE_BINS, grouped, pooled, ranked
from coordinator.comparison.differences import difference_rows, pairs_of
from coordinator.comparison.estimates import estimate
from coordinator.comparison.per_site import HIDDEN, estimates_of, per_site_rows, pooled_of, together
from coordinator.comparison.predictions import TaskScores
from coordinator.comparison.resampling import resample_patients
from coordinator.metrics import auroc

CELL = 5
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
    for row in per_site_rows(given, pairs_of("t", list(SKILLS), "centralized", {}), CELL):
        other = by_scores[row["strategy"]]
        assert row["difference"] == pytest.approx(other["difference"], abs=1e-12)
        width = other["high_90"] - other["low_90"]
        assert row["high_90"] - row["low_90"] == pytest.approx(width, rel=0.15)


def test_the_pooled_auroc_from_bins_is_within_its_bound():
    given = study(records=900)
    rows = per_site_rows(given, [("split", "centralized")], CELL)
    exact = np.mean([auroc(given.label, score).value for score in given.scores["split"].values()])
    assert rows[0]["pooled"] == pytest.approx(exact, abs=1e-12)
    assert 0 < abs(rows[0]["binned"] - exact) <= rows[0]["bound"] < 0.02


def test_a_pooled_auroc_is_what_counting_pairs_gives():
    """Two sites' pairs by hand: of 4 across, one is told right, one wrong, two overlap and count half."""
    one, other = np.array([[10, 20, 5], [50, 60, 7]]), np.array([[0, 5, 2], [55, 70, 3]])
    assert ranked(one, other) == (2 * 5 + 2 * 7 + 3 * 7 / 2, 3 * 7 / 2)
    area, bound = pooled(np.array([0.9, np.nan]), [one, one[:0]], [other[:1], other])
    right = 0.9 * 12 * 2 + (24 + 21 / 2)
    assert (area, bound) == (pytest.approx(right / (12 * 7)), pytest.approx(21 / 2 / (12 * 7)))


@pytest.mark.parametrize("seed", range(20))
def test_a_group_never_counts_few_patients(seed):
    draw = np.random.default_rng(seed)
    n = int(draw.integers(CELL, 60))
    score, patient = draw.beta(0.5, 2, size=n), draw.integers(0, n, size=n)
    groups, people = grouped(score, patient, CELL), len(np.unique(patient))
    assert groups[:, 2].sum() == (n if people >= CELL else 0)
    for first, last, count in groups:
        inside = (score >= first / SCORE_BINS) & (score < last / SCORE_BINS)
        assert inside.sum() == count
        assert len(np.unique(patient[inside])) >= CELL


def test_nothing_but_estimates_and_counts_leaves():
    given = study()
    inside = given.site == 1
    runs = np.stack([score[inside] for score in given.scores["split"].values()])
    found = estimates_of(given.label[inside], given.patient[inside], runs, CELL)
    assert [found.groups[found.groups[:, 0] == run, 4].sum() for run in range(3)] == [90] * 3
    assert found.covariance.shape == (3, 3)
    assert found.same.tolist() == [0, 1, 2]
    alone, variances = together([found], [0, 1, 2])
    assert alone == pytest.approx(found.areas)
    assert variances == pytest.approx(found.covariance)


def test_few_patients_are_not_told_of():
    given = study(records=90)
    few = np.flatnonzero(given.site == 0)[:8]  # four patients
    runs = np.stack([given.scores["split"][0][few]])
    told = estimates_of(given.label[few], given.patient[few], runs, CELL)
    assert (told.n, told.patients, told.events, len(told.groups)) == (HIDDEN, HIDDEN, HIDDEN, 0)
    rare = np.flatnonzero(given.site == 0)
    label = np.where(np.arange(90) < 6, given.label[rare], 0)  # two patients with the outcome
    told = estimates_of(label, given.patient[rare], np.stack([given.scores["split"][0][rare]]), CELL)
    assert (told.n, told.events, len(told.groups)) == (90, HIDDEN, 0)
    assert np.isnan(told.areas).all()


def test_a_run_without_scores_at_a_site_leaves_the_other_runs_as_they_are():
    given = study()
    sites = [np.flatnonzero(given.site == i) for i in range(3)]
    runs = np.stack([given.scores["split"][0], given.scores["fedavg"][0]])
    whole = [estimates_of(given.label[each], given.patient[each], runs[:, each], CELL) for each in sites]
    runs[1, sites[2]] = np.nan
    told = [estimates_of(given.label[each], given.patient[each], runs[:, each], CELL) for each in sites]
    assert pooled_of(told, 0) == pooled_of(whole, 0)
    assert together(told, [0])[0] == pytest.approx(together(whole, [0])[0], abs=1e-15)
    assert np.isnan(pooled_of(told, 1)).all()
    assert np.isnan(together(told, [1])[0]).all()


def test_a_site_of_one_class_counts_in_the_bins_alone():
    given = study()
    label = np.where(given.site == 2, 1, given.label)
    changed = TaskScores("t", given.sites, given.site, given.patient, label, given.scores)
    weights = resample_patients(given.site, given.patient, label, resamples=100, keyed=("t",))
    _, effects, _ = difference_rows(
        changed, estimate(changed, weights), reference="centralized", margin=0.05, identical={}
    )
    (row,) = per_site_rows(changed, [("split", "centralized")], CELL)
    by_scores = next(e for e in effects if (e["strategy"], e["metric"]) == ("split", "auroc_stratified"))
    assert row["difference"] == pytest.approx(by_scores["difference"], abs=1e-12)
    assert abs(row["binned"] - row["pooled"]) <= row["bound"]


def test_a_lone_event_is_not_told():
    given = study()
    label = np.where(given.site == 2, (np.arange(len(given.label)) == 200).astype(np.int64), given.label)
    changed = TaskScores("t", given.sites, given.site, given.patient, label, given.scores)
    (row,) = per_site_rows(changed, [("split", "centralized")], CELL)
    inside = changed.site < 2
    others = TaskScores("t", given.sites[:2], given.site[inside], given.patient[inside], label[inside],
                        {name: {seed: score[inside] for seed, score in by_seed.items()}
                         for name, by_seed in given.scores.items()})  # fmt: skip
    assert row == per_site_rows(others, [("split", "centralized")], CELL)[0]
