"""Noise that protects: its distribution, and what it depends on."""

import numpy as np
import pytest
import torch
from scipy import stats

from coordinator.config import Noise
from coordinator.privacy.releasing import ORDER, clipped, noised
from coordinator.privacy.secret_noise import DRAWS, Secret, uniform

KEY = bytes(range(32))
SECRET = Secret(bytes(32), "run")
X = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.mark.parametrize(("name", "distribution"), [("gaussian", stats.norm), ("laplace", stats.laplace)])
def test_draws_are_of_their_distribution(name, distribution):
    drawn = DRAWS[name](KEY, (101, 99))
    assert drawn.shape == (101, 99)
    assert stats.kstest(drawn.ravel(), distribution.cdf).pvalue > 0.01
    assert abs(np.corrcoef(drawn[:-1].ravel(), drawn[1:].ravel())[0, 1]) < 0.03


def test_uniform_draws_are_never_an_end():
    drawn = uniform(KEY, 100_000)
    assert 0 < drawn.min() < 1e-4
    assert 1 - 1e-4 < drawn.max() < 1
    assert (2**52 - 1 + 0.5) / 2**52 < 1  # the largest there can be


def test_a_key_is_the_same_for_the_same_content_in_the_same_place_and_nowhere_else():
    first = SECRET.key("activations", (0, 1, 2, 3), X)
    assert SECRET.key("activations", (0, 1, 2, 3), X.copy()) == first
    changed = X.copy()
    changed[0, 0] += 1e-6
    others = {
        SECRET.key("activations", (0, 1, 2, 4), X),
        SECRET.key("head gradient", (0, 1, 2, 3), X),
        SECRET.key("activations", (0, 1, 2, 3), changed),
        SECRET.key("activations", (0, 1, 2, 3), X.reshape(3, 2)),
        SECRET.key("activations", (0, 1, 2, 3)),
        Secret(bytes(31) + b"1", "run").key("activations", (0, 1, 2, 3), X),
        Secret(bytes(32), "another run").key("activations", (0, 1, 2, 3), X),
    }
    assert len(others) == 7
    assert first not in others


@pytest.mark.parametrize("mechanism", ["gaussian", "laplace"])
def test_no_record_is_longer_than_the_clip_and_short_ones_stay(mechanism):
    rows = torch.randn(50, 3, 4, generator=torch.Generator().manual_seed(1)) * 3
    rows[0] *= 1e-3
    rows[1] = torch.nan
    found = clipped(rows, 2.0, ORDER[mechanism])
    lengths = torch.linalg.vector_norm(found.double().flatten(1), ord=ORDER[mechanism], dim=1)
    assert lengths.max() <= 2.0
    assert lengths[2:].min() > 1.99
    assert torch.equal(found[0], rows[0])
    assert not found[1].any()


def test_noise_is_so_many_clips_and_lets_gradients_pass():
    rows = torch.zeros(100, 50, requires_grad=True)
    found = noised(rows, Noise(clip=0.5, scale=3.0), 0.5, 3.0, KEY)
    assert abs(float(found.detach().std()) / 1.5 - 1) < 0.03
    assert torch.equal(found.detach(), noised(rows.detach(), Noise(clip=0.5), 0.5, 3.0, KEY))
    found.sum().backward()
    assert torch.equal(rows.grad, torch.ones(100, 50))
