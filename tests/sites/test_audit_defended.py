"""A defended run is attacked as its coordinator saw it, by adversaries that know the defence."""

from pathlib import Path

import numpy as np
import pytest
import torch

from coordinator.attacks.adapted import KNOWING, NONE
from coordinator.attacks.local_round import made_by
from coordinator.config import Noise, Privacy
from sites.audit import attack
from sites.membership_attacks import Targets
from sites.updates import recorded_sum, recorded_update
from tests.sites.test_audit import EFFORT, SIZES, attacked

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
