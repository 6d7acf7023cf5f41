"""A defended run is attacked as its coordinator saw it, by adversaries that know the defence."""

from pathlib import Path

import numpy as np
import pytest
import torch

from coordinator.algorithms.building import arithmetic_of, builders_of
from coordinator.algorithms.optimizers import Optimizer
from coordinator.algorithms.training import train_batch
from coordinator.attacks.adapted import KNOWING, NONE
from coordinator.attacks.local_round import made_by
from coordinator.attacks.private_shadows import private_step
from coordinator.config import DpSgd, Noise, Privacy
from coordinator.models.stages import build
from sites.audit import attack, step_of
from sites.membership_attacks import Targets, targets_of
from sites.updates import recorded_sum, recorded_update
from tests.federation import a_run
from tests.sites.test_audit import EFFORT, SIZES, STATISTICS, attacked

SHORT = EFFORT._replace(decoder=20, updates=20, descent=20, pseudo_client=20, hijacking=5)
NOISE = Noise(clip=1.0, gradient_clip=1.0, scale=0.2)


def rows_of(folder: Path, monkeypatch: pytest.MonkeyPatch, preset: str, **changes) -> list[dict]:
    found = attacked(folder, monkeypatch, preset, **changes)
    return attack(found, Targets(found.hospitals[0], None), SHORT, {})


@pytest.mark.parametrize(
    ("privacy", "known", "of_labels"),
    [
        (Privacy(noise=NOISE, activations="int8"), "gaussian noise, int8", "noise on gradients"),
        (Privacy(dropout=0.5, no_peek=1.0), "dropout, NoPeek", "dropout"),
        (Privacy(cut_gradient="marvell"), NONE, "marvell"),
    ],
)
def test_every_attack_on_activations_and_gradients_is_made_on_a_defended_wire(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, privacy: Privacy, known: str, of_labels: str
) -> None:
    rows = rows_of(tmp_path, monkeypatch, "split_u", privacy=privacy)
    knew = {row["attack"]: row["target"].partition(KNOWING)[2] for row in rows}
    for name in ("decoder", "white_box", "pseudo_client", "hijacking"):
        assert knew[name] == known
    assert of_labels in knew["simulated_gradients"]
    assert ("frozen_front" in knew) == (privacy.no_peek is None)
    assert {knew["loss_threshold"], knew["clustering"]} == {NONE}


def test_an_undefended_run_has_no_defence_to_know(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = rows_of(tmp_path, monkeypatch, "split_u")
    assert not any(KNOWING in row["target"] for row in rows)


def test_of_a_secure_sum_the_average_of_all_sites_is_inverted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = attacked(tmp_path, monkeypatch, "fedavg", secure_aggregation=True, training={"optimizer": "sgd"})
    update, sites = recorded_sum(found)
    assert sites == [0, 1]
    assert recorded_update(found, 0) is recorded_update(found, 1) is None  # no site's own was heard
    assert update.records == sum(SIZES)
    labels = np.concatenate([each.roles["train"].labels for each in found.hospitals])
    inputs = torch.cat([each.inputs("train")[:] for each in found.hospitals])
    for own, seen in zip(made_by(update, inputs, torch.from_numpy(labels)), update.change, strict=True):
        assert torch.allclose(own, seen, atol=1e-6)
    rows = attack(found, Targets(found.hospitals[0], None), SHORT, {})
    found = {row["target"] for row in rows if row["attack"] == "tableak"}
    assert found == {"table from the sum of all updates, knowing secure aggregation"}
    plain = attacked(tmp_path / "plain", monkeypatch, "fedavg")
    assert recorded_sum(plain) is None


def test_models_trained_by_dp_sgd_are_compared_with_shadows_that_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private = Privacy(dp_sgd=DpSgd(clip=0.5, scale=0.7))
    found = attacked(tmp_path, monkeypatch, "fedavg", privacy=private)
    step = step_of(found)
    assert step is not train_batch
    alike, ordinary = (
        targets_of(found.run, STATISTICS, found.hospitals, EFFORT, each) for each in (step, train_batch)
    )
    again = targets_of(found.run, STATISTICS, found.hospitals, EFFORT, step)
    for role in ("train", "test"):
        assert np.array_equal(alike.shadows.attacked[role], again.shadows.attacked[role])
        assert not np.allclose(alike.shadows.attacked[role], ordinary.shadows.attacked[role], atol=0.01)
    rows = attack(found, alike, SHORT, {})
    knew = {row["attack"]: row["target"].partition(KNOWING)[2] for row in rows}
    assert {knew["lira_offline"], knew["shadow"]} == {"DP-SGD"}
    assert knew["loss_threshold"] == NONE


def test_a_private_step_without_noise_and_within_the_clip_is_an_ordinary_one() -> None:
    run = a_run("fedavg", SIZES)
    build_ = builders_of(run, (6,))
    inputs, labels = torch.randn(12, 6, generator=torch.Generator().manual_seed(0)), torch.ones(12)
    states = []
    for step in (train_batch, private_step(1e6, 0.0)):
        model = build(build_, 1, None, arithmetic_of(run))
        optimizer = Optimizer(model, run.training, 0.1)
        step(model, optimizer, inputs, labels, (0, 0, 0), round_=0, weights=None)
        states.append(torch.cat([each.detach().flatten() for each in model.parameters()]))
    assert torch.allclose(*states, atol=1e-6)
