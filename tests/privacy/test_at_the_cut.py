"""Defences without a guarantee, and labels that are sometimes sent wrong."""

import numpy as np
import pytest
import torch
from federation import a_run, federate, rows

from coordinator.algorithms.party import Party
from coordinator.algorithms.protecting import check_parts
from coordinator.config import Model, Noise, Privacy
from coordinator.errors import ConfigError, ProtocolError
from coordinator.models.stages import build
from coordinator.privacy import activation_codec
from coordinator.privacy.cut_gradients import least_divergence, marvell, max_norm
from coordinator.privacy.no_peek import distance_correlation
from coordinator.protocol.messages import Activations, HeadGradient
from sites.protecting import summary

SIZES = (64, 30)
KEY = bytes(range(32))
U = {"cut": ("layer1", "layer2")}
DRY = Model(name="mlp", hidden=(16, 8))


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def first(outcomes, site, kind):
    return next(message for message in outcomes[site][2] if isinstance(message, kind))


@pytest.mark.parametrize(
    ("name", "share", "error"), [("bf16", 0.5, 2**-8), ("fp16", 0.5, 2**-11), ("int8", 0.25, 1 / 255)]
)
def test_packed_activations_take_fewer_bytes_and_come_back_close(name, share, error):
    codec, values = activation_codec.CODECS[name], draw(5, 3, 200)
    array = codec.pack(values)
    assert array.nbytes <= share * 4 * values.numel() + 8 * len(values)
    found = codec.unpack(array, (5, 3, 200), "a")
    scale = values.abs() if name != "int8" else values.flatten(1).max() - values.flatten(1).min()
    assert ((found - values).abs() <= error * scale).all()
    with pytest.raises(ProtocolError, match="expected uint8"):
        codec.unpack(array, (5, 3, 201), "a")


def test_what_sixteen_bits_cannot_hold_becomes_the_largest_they_can():
    codec, values = activation_codec.CODECS["fp16"], torch.tensor([[1e6, -1e6, 1.0]])
    assert codec.unpack(codec.pack(values), (1, 3), "a").tolist() == [[65504.0, -65504.0, 1.0]]


def test_a_constant_record_in_eight_bits_is_exact():
    values = torch.full((2, 7), 0.3)
    codec = activation_codec.CODECS["int8"]
    assert torch.equal(codec.unpack(codec.pack(values), (2, 7), "a"), values)


@pytest.mark.parametrize("preset", ["split", "split_u", "split_parallel"])
def test_bytes_of_activations_fall_by_half_and_by_three_quarters(tmp_path, preset):
    wide, sizes = Model(name="mlp", hidden=(400, 8)), {}
    for name in activation_codec.CODECS:
        privacy = Privacy(activations=name)
        run = a_run(preset, SIZES, model=wide, privacy=privacy, **(U if preset == "split_u" else {}))
        party, _, channel = federate(run, SIZES, guards=tmp_path / name)
        counted = channel.lines.counted()
        sizes[name] = sum(v for k, v in counted.items() if k.startswith("up") and k.endswith("activations"))
        assert np.isfinite(party.best_loss)
    assert 0.49 < sizes["bf16"] / sizes["float32"] < 0.53
    assert 0.24 < sizes["int8"] / sizes["float32"] < 0.28


def test_distance_correlation_is_one_of_the_same_and_small_of_what_is_independent():
    x = draw(200, 5)
    assert float(distance_correlation(x, 3 * x)) == pytest.approx(1, abs=1e-4)
    assert float(distance_correlation(x, draw(200, 5, seed=1))) < 0.35
    line, parabola = torch.linspace(-1, 1, 101)[:, None], torch.linspace(-1, 1, 101)[:, None] ** 2
    assert float(distance_correlation(line, parabola)) == pytest.approx(0.491, abs=0.01)


def test_no_peek_lowers_the_distance_correlation_of_a_trained_front(tmp_path):
    found = []
    for weight in (None, 5.0):
        run = a_run("split", SIZES, model=DRY, training={"rounds": 6}, privacy=Privacy(no_peek=weight))
        _, outcomes, _ = federate(run, SIZES, guards=tmp_path / str(weight))
        front, x = outcomes["site0"][0].parts["front"], rows(64, (6,), 0, "train").inputs
        with torch.no_grad():
            found.append(float(distance_correlation(x, front(x))))
    assert found[1] < found[0] - 0.1


def test_a_share_of_what_is_sent_is_dropped_in_scoring_too_and_not_by_the_study_s_seed(tmp_path):
    run = a_run("split", SIZES, model=DRY, privacy=Privacy(dropout=0.4))
    outcomes, again = (federate(run, SIZES, guards=tmp_path / name)[1] for name in "ab")
    plain = federate(a_run("split", SIZES, model=DRY), SIZES)[1]
    for message in (m for m in outcomes["site0"][2] if isinstance(m, Activations)):
        assert 0.2 < (message.tensor == 0).mean() < 0.95
    sent, other, bare = (first(found, "site0", Activations).tensor for found in (outcomes, again, plain))
    assert not np.array_equal(sent, other)
    kept = sent != 0
    assert np.allclose(sent[kept], bare[kept] / 0.6)


def test_labels_are_sent_wrong_as_often_as_said_and_always_the_same_ones(tmp_path):
    epsilon, sizes = 1.0, (2000,)
    training = {"batch_size": 500, "rounds": 2}
    run = a_run("split", sizes, training=training, privacy=Privacy(label_epsilon=epsilon))
    _, outcomes, _ = federate(run, sizes, guards=tmp_path)
    truth = rows(2000, (6,), 0, "train").labels.numpy()
    _, bare, _ = federate(a_run("split", sizes, training=training), sizes)
    said, real = (
        np.concatenate([m.labels for m in found["site0"][2] if getattr(m, "labels", None) is not None])
        for found in (outcomes, bare)
    )
    wrong = (said != real).mean()
    assert abs(wrong - 1 / (1 + np.e)) < 0.03
    assert set(np.unique(said)) == {0.0, 1.0}
    assert summary(outcomes["site0"][0].guard, "site0")["epsilon"]["train"] == epsilon  # told once
    assert len(truth) == 2000


@pytest.mark.parametrize("method", [max_norm, marvell])
def test_the_length_of_a_gradient_tells_its_label_less(method):
    labels = (torch.arange(200) % 10 == 0).float()
    rows_ = draw(200, 8) * 0.02 + torch.where(labels > 0, 1.0, -0.1)[:, None]  # the rare ones are long
    found = method(rows_, labels, KEY)
    before, after = (auroc(each.norm(dim=1), labels) for each in (rows_, found))
    assert before == 1.0
    assert 0.3 < after < 0.85
    expected = torch.stack([method(rows_, labels, bytes([i]) * 32) for i in range(60)]).mean(0)
    mean, clean = (each[labels == 0].mean(0) for each in (expected, rows_))
    assert (mean - clean).norm() < 0.4 * clean.norm()  # and on average it is what it was


def auroc(score, label):
    above = score[label > 0][:, None] - score[label == 0]
    return float(((above > 0) + 0.5 * (above == 0)).float().mean())


def test_marvell_s_powers_keep_the_constraint_and_beat_noise_in_all_directions():
    powers = least_divergence([0.01, 0.01], 1.0, 0.1, 8)
    assert np.array([0.1, 0.7, 0.9, 6.3]) @ powers <= 4.0 + 1e-6
    assert powers.min() >= 0
    assert powers[0] >= powers[1] - 1e-6
    assert powers[0] > 1  # most goes along the difference of the means


@pytest.mark.parametrize("method", ["max_norm", "marvell"])
def test_a_u_shaped_run_sends_gradients_under_noise_up(tmp_path, method):
    run = a_run("split_u", SIZES, privacy=Privacy(cut_gradient=method), **U)
    party, outcomes, _ = federate(run, SIZES, guards=tmp_path)
    _, bare, _ = federate(a_run("split_u", SIZES, **U), SIZES)
    sent, clean = (first(found, "site0", HeadGradient).tensor for found in (outcomes, bare))
    assert not np.allclose(sent, clean)
    assert np.isfinite(party.best_loss)


def test_a_network_that_mixes_records_gets_no_noise(tmp_path):
    party = Party(a_run("split", SIZES, privacy=Privacy(noise=Noise(clip=1.0, scale=1.0))), None)
    party.parts = {"front": build({"norm": lambda: torch.nn.BatchNorm1d(3)}, 0)}
    with pytest.raises(ConfigError, match="mixes the records of a batch"):
        check_parts(party)
