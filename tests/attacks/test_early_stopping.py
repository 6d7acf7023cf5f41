"""What an attacker trains is kept as it was best on records set aside, however many its steps."""

import numpy as np
import torch
from torch import nn

from coordinator.attacks import hijacking
from coordinator.attacks.early_stopping import Best, set_aside
from coordinator.attacks.hijacking import Hijacker
from coordinator.attacks.image_decoder import train_image_decoder
from coordinator.attacks.pseudo_client import PseudoClient, train_pseudo_client
from coordinator.config import Model
from coordinator.models.stages import build
from coordinator.models.tabular import stages

DRAWS = np.random.default_rng(0)
RECORDS = DRAWS.normal(size=(40, 6)).astype(np.float32)
LABELS = torch.from_numpy(DRAWS.integers(0, 2, 40).astype(np.float32))  # memory alone can fit them
BUILDERS = stages(Model(name="mlp", hidden=(32, 16)), (6,))


def test_networks_go_back_to_where_they_erred_least() -> None:
    layer = nn.Linear(1, 1)
    best = Best([layer])
    best.restore()  # nothing was checked yet
    for value, error in ((1.0, 3.0), (2.0, 1.0), (3.0, 2.0), (4.0, float("nan"))):
        nn.init.constant_(layer.weight, value)
        best.check(error)
    assert (best.error, best.worse) == (1.0, 2)
    best.restore()
    assert layer.weight.item() == 2.0


def test_copies_of_a_record_stay_on_one_side() -> None:
    check, learn = set_aside(10, 1, "test", copies=3)
    assert sorted([*check, *learn]) == list(range(30))
    assert set(check % 10).isdisjoint(learn % 10)
    assert len(check) == 6


def client(steps: int) -> torch.Tensor:
    """Train a pseudo-client against drawn layers, and give its front's first weights."""
    front, middle, head = (build(BUILDERS, 2, (name,)) for name in ("layer1", "layer2", "head"))
    with torch.inference_mode():
        seen = build(BUILDERS, 5, ("layer1",))(torch.from_numpy(RECORDS[::-1].copy())).numpy()
    train_pseudo_client(
        PseudoClient(front, middle, head), lambda rows: torch.from_numpy(RECORDS)[torch.from_numpy(rows)],
        LABELS, seen, steps=steps, seed=1,
    )  # fmt: skip
    return torch.cat([value.detach().flatten() for value in front.parameters()])


def test_a_pseudo_client_learns_nothing_by_heart() -> None:
    assert torch.equal(client(200), client(300))
    assert not torch.equal(client(25), client(200))


def test_a_decoder_of_images_learns_nothing_by_heart() -> None:
    images = DRAWS.normal(size=(15, 1, 4, 4)).astype(np.float32)  # and nothing tells them
    noise = DRAWS.normal(size=(40, 2, 4, 4)).astype(np.float32)
    decode = train_image_decoder(noise[:15], images, seed=1, steps=300)
    assert np.square(decode(noise[15:])).mean() < 0.2


def test_a_hijacker_fixes_its_autoencoder_where_it_gets_no_better(monkeypatch) -> None:
    monkeypatch.setattr(hijacking, "CHECK_EVERY", 2)
    monkeypatch.setattr(hijacking, "PATIENCE", 2)
    encoder = build(BUILDERS, 0, ("layer1",))
    hijacker = Hijacker(encoder, torch.from_numpy(RECORDS), RECORDS, (32,), seed=1)
    weights, read = [], []
    for step in range(200):
        hijacker.answer(torch.from_numpy(DRAWS.normal(size=(8, 32)).astype(np.float32)))
        if step in (0, 190, 199):
            weights.append(next(encoder.parameters()).detach().clone())
            read.append(hijacker.read(DRAWS.normal(size=(1, 32)).astype(np.float32) * 0))
    assert not torch.equal(weights[0], weights[1])
    assert torch.equal(weights[1], weights[2])
    assert np.array_equal(read[1], read[2])
