"""Reconstructions, labels and membership are scored as the definitions say."""

import numpy as np
import pytest

from sites.leakage import images, inferred, membership, numbers, psnr, ssim

DRAWS = np.random.default_rng(0)


def test_only_known_numbers_count() -> None:
    truth = np.array([[0.0, 1.0], [2.0, 5.0]])
    guess = np.array([[0.2, 1.0], [3.0, 9.0]])
    known = np.array([[True, True], [True, False]])
    within, error = numbers(truth, guess, np.zeros(2), known, seed=0)
    assert (within.value, within.baseline, within.n) == (pytest.approx(2 / 3), pytest.approx(1 / 3), 2)
    assert (error.value, error.baseline) == (pytest.approx(0.4), pytest.approx(1.0))
    assert within.low <= within.value <= within.high


def test_images() -> None:
    truth = DRAWS.random((5, 1, 16, 16))
    same, near, trivial = truth, truth + 0.1, np.full((1, 16, 16), 0.5)
    ratio, similarity = images(truth, same, trivial, seed=0)
    assert (ratio.value, similarity.value) == (100, pytest.approx(1))
    assert ratio.baseline == pytest.approx(10 * np.log10(12), abs=0.5)  # the variance of a uniform draw
    assert psnr(truth[0], near[0]) == pytest.approx(20)
    assert ssim(truth[0], trivial) < 0.1 < ssim(truth[0], near[0])


def test_labels_take_the_better_assignment() -> None:
    labels = np.array([0, 0, 0, 1])
    scores = np.array([3.0, 2.0, 1.0, 0.0])
    area, share = inferred(labels, scores, scores > 0.5)
    assert (area.value, area.baseline) == (1, 0.5)
    assert (share.value, share.baseline) == (1, 0.75)
    assert inferred(np.zeros(4, dtype=np.int64), scores) == []


def test_membership_at_the_smallest_rate_that_can_be_seen() -> None:
    area, rate = membership(np.array([5.0, 4.0, 1.0, 0.0]), np.array([3.0, 2.0, 1.5, -1.0]))
    assert (rate.measure, rate.baseline) == ("tpr_at_fpr_0.25", 0.25)  # one of four
    assert rate.value == 0.5  # above the second highest of the others stand 5 and 4
    assert area.value == pytest.approx(10 / 16)
    assert membership(np.zeros(5), np.zeros(400))[1].measure == "tpr_at_fpr_0.01"


def test_the_interval_of_an_area_holds_chance_about_as_often_as_it_says() -> None:
    drawn = [membership(DRAWS.normal(size=40), DRAWS.normal(size=60))[0] for _ in range(200)]
    assert 0.9 < np.mean([area.low <= 0.5 <= area.high for area in drawn]) < 0.99
