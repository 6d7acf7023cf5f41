"""A site's scrutiny of the gradients that come down; 100 runs of a hijacker: make hijacking."""

import numpy as np
import pytest
import torch
from federation import a_run, federate

from coordinator.config import Model, Privacy
from coordinator.errors import ConfigError, ProtocolError
from coordinator.presets import PRESETS
from coordinator.privacy.hijacking import Scrutiny, score
from sites.protecting import guard_for

SIZES = (64, 40)
WATCHED = Privacy(detect_hijacking=True)


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_gradients_that_push_labels_apart_score_high_and_others_about_nothing():
    labels = np.arange(30) % 3 == 0
    common = np.ones((30, 1)) * draw(1, 20).numpy()
    apart = np.where(labels[:, None], -1, 1) * common + 0.3 * draw(30, 20, seed=1).numpy()
    assert score(apart, labels) > 1.5
    assert abs(score(common + 0.3 * draw(30, 20, seed=1).numpy(), labels)) < 0.05
    assert abs(score(draw(30, 200, seed=2).numpy(), labels)) < 0.2
    assert score(apart, np.zeros(30, dtype=bool)) is None
    assert score(np.zeros((30, 4)), labels) == 0.0
    assert score(np.zeros((30, 4)), np.zeros(30, dtype=bool)) is None


def test_a_site_suspects_only_after_a_whole_window_and_not_for_one_odd_batch():
    labels, scrutiny = torch.arange(20) % 2, Scrutiny()
    task = torch.where(labels[:, None] > 0, 1.0, -1.0) * torch.ones(20, 5)
    assert not any(scrutiny.suspects(task + 0.1 * draw(20, 5, seed=i), labels) for i in range(12))
    assert not scrutiny.suspects(draw(20, 5), labels)
    assert not any(scrutiny.suspects(task, torch.zeros(20)) for _ in range(30))  # one label says nothing
    seen = [scrutiny.suspects(torch.ones(20, 5), labels) for _ in range(10)]
    assert seen[-1]
    assert not any(seen[:5])


def test_a_front_that_is_left_as_the_seed_drew_it_is_noticed():
    labels, scrutiny = torch.arange(20) % 2, Scrutiny()
    assert any(scrutiny.suspects(torch.zeros(20, 5), labels) for _ in range(10))


SPLIT = [name for name in PRESETS if PRESETS[name]["algorithm"] == "split"]


@pytest.mark.parametrize(("preset", "rate"), [*((name, 0.05) for name in SPLIT), ("split", 0.0005)])
def test_no_honest_run_is_stopped_and_no_bit_of_it_changes(tmp_path, preset, rate):
    cut = ("layer1", "layer2") if PRESETS[preset]["labels"] == "private" else ("layer1",)
    model = Model(name="mlp", hidden=(16, 8), dropout=0.3)
    training = {"rounds": 6, "learning_rates": (rate,), "optimizer": "adam"}
    run = a_run(preset, SIZES, cut=cut, model=model, training=training, privacy=WATCHED)
    watched, outcomes, _ = federate(run, SIZES, guards=tmp_path)
    plain, bare, _ = federate(run.model_copy(update={"privacy": Privacy()}), SIZES)
    assert watched.best_loss == plain.best_loss
    assert torch.equal(outcomes["site1"][1][0], bare["site1"][1][0])
    assert outcomes["site0"][0].guard.scrutiny.mean() > 0.5


def test_labels_that_were_sent_wrong_are_what_the_gradients_are_held_against(tmp_path):
    privacy = Privacy(detect_hijacking=True, label_epsilon=0.3)
    run = a_run("split", SIZES, training={"rounds": 6}, privacy=privacy)
    _, outcomes, _ = federate(run, SIZES, guards=tmp_path)
    assert outcomes["site0"][0].guard.scrutiny.mean() > 0.5


def test_a_site_that_suspects_releases_nothing_more_after_a_restart_either(tmp_path):
    run = a_run("split", SIZES, privacy=WATCHED)
    guard = guard_for(run, 0, {"train": np.arange(64)}, tmp_path)
    labels = torch.arange(20) % 2
    for step in range(9):
        guard.scrutinize(torch.ones(20, 5), labels, (0, 0, 0, step))
    with pytest.raises(ProtocolError, match="not of the task"):
        guard.scrutinize(torch.ones(20, 5), labels, (0, 0, 0, 9))
    with pytest.raises(ConfigError, match="releases nothing more"):
        guard_for(run, 0, {"train": np.arange(64)}, tmp_path)
