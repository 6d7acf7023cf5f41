"""On a GPU every arm learns what it does on the CPU, up to rounding."""

import pytest
import torch

from coordinator.config import Clip, Model
from tests.conftest import require
from tests.federation import a_run, federate

SIZES, NAMES = (60, 20, 9), ("site0", "site1", "site2", "coordinator", "pooled")
CLASSES = ("nv", "mel", "bcc")
PRESETS = (
    "centralized", "local", "split", "split_u", "split_private", "split_parallel", "splitfed_v1",
    "splitfed_v2", "fedprox", "scaffold", "fedadam", "fedbn", "cyclic",
)  # fmt: skip


@pytest.fixture(autouse=True)
def gpu():
    if not torch.cuda.is_available():
        require("gpu", "torch finds no GPU")


@pytest.mark.parametrize(
    ("preset", "classes"),
    [
        *((preset, ()) for preset in PRESETS),
        *((preset, CLASSES) for preset in ("split", "split_u", "fedprox")),
    ],
)
def test_a_gpu_learns_what_a_cpu_does(preset, classes):
    training = {"optimizer": "sgd"} if preset == "scaffold" else {"optimizer": "adam", "clip": Clip(norm=1.0)}
    cut = ("layer1", "layer2") if preset in ("split_u", "split_private") else ("layer1",)
    model = Model(name="mlp", hidden=(16, 8))
    losses = []
    for devices in ({}, dict.fromkeys(NAMES, "cuda")):
        run = a_run(preset, SIZES, training=training, cut=cut, model=model, devices=devices, classes=classes)
        coordinator, outcomes, _ = federate(run, SIZES)
        parties = [coordinator, *(outcomes[name][0] for name in run.parties)]
        kinds = {
            value.device.type for p in parties for part in p.parts.values() for value in part.parameters()
        }
        assert kinds == {"cuda" if devices else "cpu"}
        losses.append((coordinator.best_loss, [outcomes[name][1] for name in run.parties]))
    assert losses[1][0] == pytest.approx(losses[0][0], abs=1e-4)
    for one, other in zip(losses[0][1], losses[1][1], strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-3)
