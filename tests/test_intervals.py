"""Intervals and curves against published examples and independent implementations."""

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import norm
from scipy.stats import t as student
from sklearn.linear_model import LogisticRegression

from coordinator.calibration import intercepts, log_odds, slopes
from coordinator.comparison import delong
from coordinator.comparison.curves import net_benefit
from coordinator.comparison.differences import Effect, effect, interval, verdict
from coordinator.comparison.estimates import Estimate
from coordinator.comparison.power import chance, detectable, holm, p_value, planned
from coordinator.comparison.weighted import weighted_metrics
from coordinator.metrics import Value, measure, sensitivity
from tests.simulation import SCENARIOS, simulate, weighted_auroc


def records(seed: int, n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    label = (np.arange(n) % 3 == 0).astype(np.int64)
    return label, np.round(1 / (1 + np.exp(-(label + draw.normal(size=n)))), 2)  # with ties


def test_the_published_example_of_ct_images() -> None:
    """Hanley & McNeil 1982, table 1; Stata's manual (roctab) gives DeLong's error and interval."""
    label = np.repeat([0, 1], [58, 51])
    score = np.r_[
        np.repeat(np.arange(1, 6), [33, 6, 6, 11, 2]), np.repeat(np.arange(1, 6), [3, 2, 2, 11, 33])
    ]
    placed = delong.placements(label, score.astype(float))
    area, error = placed[label == 1].mean(), np.sqrt(delong.variance(label, np.arange(109), placed))
    assert round(area, 4) == 0.8932
    assert round(error, 4) == 0.0307
    half = norm.ppf(0.975) * error
    assert (area - half, area + half) == pytest.approx((0.83295, 0.95339), abs=1e-5)


def by_pairs(label: np.ndarray, score: np.ndarray, group: np.ndarray) -> float:
    """Obuchowski 1997, equations 2 to 5, by loops over pairs and patients."""
    psi = lambda x, y: 1.0 if x > y else 0.5 if x == y else 0.0  # noqa: E731
    up, down = np.flatnonzero(label == 1), np.flatnonzero(label == 0)
    ten = {i: np.mean([psi(score[i], score[j]) for j in down]) for i in up}
    one = {j: np.mean([psi(score[i], score[j]) for i in up]) for j in down}
    area, names = np.mean(list(ten.values())), sorted(set(group.tolist()))
    x = {g: sum(ten[i] - area for i in up if group[i] == g) for g in names}
    y = {g: sum(one[j] - area for j in down if group[j] == g) for g in names}
    with_x = sum(any(group[i] == g for i in up) for g in names)
    with_y = sum(any(group[j] == g for j in down) for g in names)
    s10 = with_x / ((with_x - 1) * len(up)) * sum(value**2 for value in x.values())
    s01 = with_y / ((with_y - 1) * len(down)) * sum(value**2 for value in y.values())
    s11 = len(names) / (len(names) - 1) * sum(x[g] * y[g] for g in names)
    return s10 / len(up) + s01 / len(down) + 2 * s11 / (len(up) * len(down))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("of_each", [1, 4])
def test_variances_equal_the_definition_by_pairs(seed: int, of_each: int) -> None:
    label, score = records(seed)
    group = np.arange(len(label)) // of_each  # a patient of four records has both classes
    placed = delong.placements(label, score)
    assert placed[label == 1].mean() == pytest.approx(placed[label == 0].mean(), abs=1e-12)
    assert delong.variance(label, group, placed) == pytest.approx(by_pairs(label, score, group), abs=1e-12)


def test_a_perfect_ranking_and_a_lone_event_have_no_interval() -> None:
    label = np.array([0, 0, 0, 1, 1])
    placed = delong.placements(label, np.arange(5.0))
    assert delong.interval(1.0, delong.variance(label, np.arange(5), placed)) == (None, None)
    lone = delong.placements(np.array([0, 0, 1]), np.array([0.1, 0.9, 0.5]))
    assert np.isnan(delong.variance(np.array([0, 0, 1]), np.arange(3), lone))


@pytest.mark.parametrize("seed", range(3))
def test_recalibration_equals_scikit_learn_and_a_root(seed: int) -> None:
    label, score = records(seed)
    odds, weights = log_odds(score), np.random.default_rng(seed).integers(1, 4, (2, 60)).astype(float)
    for row, slope, intercept in zip(
        weights, slopes(label, odds, weights), intercepts(label, odds, weights), strict=True
    ):
        fit = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-12)
        fit.fit(odds[:, None], label, sample_weight=row)
        assert slope == pytest.approx(fit.coef_[0, 0], abs=1e-6)
        balance = lambda a, row=row: (row * (label - 1 / (1 + np.exp(-a - odds)))).sum()  # noqa: E731
        assert intercept == pytest.approx(brentq(balance, -20, 20, xtol=1e-12), abs=1e-6)


def test_scores_that_part_the_classes_have_no_slope_and_say_so() -> None:
    found = measure(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.6, 0.9]))["calibration_slope"]
    assert found.value is None
    assert "parts the classes" in found.reason


@pytest.mark.parametrize("specificity", [0.5, 0.8, 0.9])
def test_sensitivity_is_the_best_over_all_thresholds(specificity: float) -> None:
    label, score = records(1)
    kept = [
        (score[label == 1] >= cut).mean()
        for cut in np.r_[score, np.inf]
        if (score[label == 0] < cut).mean() >= specificity
    ]
    assert sensitivity(label, score, specificity).value == pytest.approx(max(kept), abs=1e-12)
    once = weighted_metrics(label, score, np.ones((1, 60), np.float32), specificity)
    assert once["sensitivity_at_specificity"][0] == pytest.approx(max(kept), abs=1e-12)


@pytest.mark.parametrize("difference", np.linspace(-0.09, 0.09, 10))
@pytest.mark.parametrize("error", [0.01, 0.025])
def test_equivalent_is_what_two_one_sided_tests_say(difference: float, error: float) -> None:
    """Schuirmann 1987: both tests at 5 % against the margin reject."""
    tests = [norm.sf((difference + 0.05) / error), norm.sf((0.05 - difference) / error)]
    found = verdict(Effect(difference, error, 0.0, 1e9, 5), 0.05)
    assert (found == "equivalent") == (max(tests) < 0.05)
    low, high = interval(Effect(difference, error, 0.0, 1e9, 5), 0.90)
    assert norm.sf((difference - low) / error) == pytest.approx(0.05, abs=1e-6)
    assert norm.sf((high - difference) / error) == pytest.approx(0.05, abs=1e-6)


def test_the_simulation_counts_pairs_as_the_comparison_does() -> None:
    label, _ = records(0)
    score = np.random.default_rng(0).normal(size=60)
    weights = np.random.default_rng(1).integers(1, 4, (5, 60)).astype(np.float32)
    found = weighted_metrics(label, 1 / (1 + np.exp(-score)), weights)["auroc"]
    assert weighted_auroc(label, score, weights.astype(float)) == pytest.approx(found, abs=1e-12)


def test_seeds_that_agree_by_chance_do_not_narrow_an_interval_to_nothing() -> None:
    """Both seeds differ by the same, and their resamples move against each other."""
    moved = np.random.default_rng(0).normal(size=500)
    one = Estimate((Value(0.9), Value(0.8)), np.stack([0.9 + 0.02 * moved, 0.8 - 0.01 * moved]), 100)
    other = Estimate((Value(0.9), Value(0.8)), np.zeros((2, 500)), 100)
    found = effect(one, other)
    of_mean = one.resampled.mean(axis=0).std(ddof=1)
    assert np.hypot(found.se_patients, found.se_seeds) == pytest.approx(of_mean, rel=1e-9)


@pytest.mark.parametrize("name", ["five seeds", "one seed"])
def test_verdicts_at_the_margin_and_intervals_err_as_often_as_they_say(name: str) -> None:
    found = simulate(SCENARIOS[name], 1000, resamples=200)
    assert found.equivalent <= 0.065
    assert 0.936 <= found.covered <= 0.964


def test_net_benefit_equals_the_count_by_hand() -> None:
    """Of ten, four have the outcome; three of them and one other are treated at 0.2: 3/10 - 1/10 * 1/4."""
    label = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 0])
    score = np.array([0.9, 0.5, 0.2, 0.1, 0.3, 0.1, 0.1, 0.1, 0.0, 0.19])
    assert net_benefit(label, score, 0.2) == pytest.approx(0.3 - 0.1 / 4, abs=1e-12)


@pytest.mark.parametrize("threshold", [0.05, 0.3, 0.7])
def test_net_benefit_of_treating_all_is_the_closed_form(threshold: float) -> None:
    label, _ = records(2)
    share = label.mean()
    expected = share - (1 - share) * threshold / (1 - threshold)
    assert net_benefit(label, np.ones(len(label)), threshold) == pytest.approx(expected, abs=1e-12)


def test_holm_equals_the_worked_steps() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_a_p_value_is_student_s() -> None:
    found = Effect(0.03, 0.012, 0.008, 11.0, 5)
    error = np.hypot(0.012, 0.008)
    assert p_value(found) == pytest.approx(2 * student.sf(0.03 / error, 11.0), abs=1e-6)


def test_the_planned_power_is_what_the_field_s_figures_say() -> None:
    """254 records, half with the outcome, an AUROC of .88, scores correlated at .9: about .03."""
    assert planned(0.88, 127, 127) == pytest.approx(0.0275, abs=5e-4)


def test_what_could_be_seen_follows_the_interval_as_found() -> None:
    many = Effect(0.01, 0.01, 0.0, 1e9, 5)
    assert detectable(many) == pytest.approx((1.959964 + 0.841621) * 0.01, abs=1e-6)
    assert chance(many, 0.05) == pytest.approx(2 * norm.cdf(5 - 1.644854) - 1, abs=1e-6)
    assert chance(Effect(0.0, 0.05, 0.0, 1e9, 5), 0.05) == 0.0
    assert chance(Effect(0.0, 0.0, 0.0, 999.0, 1), 0.05) == 1.0
    assert detectable(Effect(0.01, 0.0, 0.01, 1.0, 2)) > 0.12  # two seeds: Student, one degree of freedom
