"""An adversary that knows a defence learns under it, and so does better than one that does not."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from coordinator.attacks.adapted import NONE, SECURE, defences_known
from coordinator.attacks.decoder import train_decoder
from coordinator.attacks.defence import Known
from coordinator.attacks.inversion import white_box
from coordinator.attacks.layout import Layout
from coordinator.attacks.simulated_gradients import gradients_of, simulated_gradients
from coordinator.config import DpSgd, Model, Noise, Privacy
from coordinator.models.stages import build
from coordinator.models.tabular import stages
from tests.federation import a_run

DRAWS = np.random.default_rng(0)
RECORDS = DRAWS.normal(size=(160, 6)).astype(np.float32)
LABELS = (DRAWS.random(160) < 0.4).astype(np.float32)
NOISE = Privacy(noise=Noise(clip=2.0, scale=0.3))
MODEL = Model(name="mlp", hidden=(32, 8))
FRONT = build(stages(MODEL, (6,)), 0, ("layer1",)).eval()


def made(defence: Known) -> np.ndarray:
    """Give activations as a site under the defence releases them."""
    with torch.inference_mode():
        return defence.released(FRONT(torch.from_numpy(RECORDS))).numpy()


def clean() -> np.ndarray:
    with torch.inference_mode():
        return FRONT(torch.from_numpy(RECORDS)).numpy()


@pytest.mark.parametrize("privacy", [NOISE, Privacy(dropout=0.5)])
def test_a_decoder_that_learned_under_the_defence_finds_more(privacy: Privacy) -> None:
    seen = made(Known(privacy, 0.3, seed=1))
    errors = [
        float(((train_decoder(clean()[:80], RECORDS[:80], seed=1, steps=100, defence=known)(seen[80:])
                - RECORDS[80:]) ** 2).mean())
        for known in (Known(), Known(privacy, 0.3, seed=2))
    ]  # fmt: skip
    assert errors[1] < 0.9 * errors[0]
    assert errors[1] < 1.0  # the mean record's


@pytest.mark.parametrize("privacy", [NOISE, Privacy(dropout=0.5)])
def test_descent_that_knows_the_defence_finds_more(privacy: Privacy) -> None:
    layout, seen = Layout({"table": (6,)}, 6, 0, ()), made(Known(privacy, 0.3, seed=1))[:40]
    errors = [
        np.abs(white_box(FRONT, seen, layout, iterations=150, seed=0, defence=known)["table"] - RECORDS[:40])
        for known in (Known(), Known(privacy, 0.3, seed=2))
    ]
    assert errors[1].mean() < 0.9 * errors[0].mean()


def test_what_is_released_is_what_a_site_releases() -> None:
    known, values = Known(NOISE, 0.3, seed=1), torch.from_numpy(clean())
    spread = torch.stack([known.released(values) for _ in range(200)]) - known.expected(values)
    assert float(spread.var()) == pytest.approx(known.variance, rel=0.05)
    assert float(spread.mean(0).abs().max()) < 0.25
    dropped = Known(Privacy(dropout=0.25), seed=1)
    assert float((dropped.released(torch.ones(400, 50)) == 0).float().mean()) == pytest.approx(0.25, abs=0.01)
    packed = Known(Privacy(activations="int8")).released(values.requires_grad_())
    assert 0 < float((packed - values).abs().max().detach()) < 0.05
    packed.sum().backward()
    assert torch.equal(values.grad, torch.ones_like(values))
    assert Known().released(values) is values


@pytest.mark.parametrize("name", ["none", "max_norm", "marvell"])
def test_labels_are_learned_from_gradients_under_the_run_s_own_defence(name: str) -> None:
    head, draws = build(stages(MODEL, (6,)), 0, ("head",)).eval(), np.random.default_rng(1)
    features = draws.normal(size=(160, 8)).astype(np.float32)
    rows, site = gradients_of(head, features, LABELS, None), Known(Privacy(cut_gradient=name), seed=1)
    seen = site.gradient(rows[80:], torch.from_numpy(LABELS[80:])).numpy()
    scores = simulated_gradients(
        head, features[:80], LABELS[:80], (features[80:], seen), batch=16, seed=0,
        defence=Known(site.privacy, seed=2),
    )  # fmt: skip
    area = roc_auc_score(LABELS[80:], scores)
    assert area > {"none": 0.98, "max_norm": 0.75, "marvell": 0.0}[name]  # Marvell may hide all


def test_a_row_says_which_defence_its_adversary_knew() -> None:
    both = Privacy(noise=Noise(clip=1.0, scale=1.0), activations="int8")
    run = a_run("split", (40, 30), privacy=both)
    assert defences_known(run, "decoder") == "gaussian noise, int8"
    assert defences_known(run, "loss_threshold") == NONE
    assert defences_known(run, "sent") == ""
    assert defences_known(a_run("split", (40, 30)), "decoder") == ""
    hidden = a_run("split", (40, 30), privacy=Privacy(no_peek=1.0))
    assert [defences_known(hidden, each) for each in ("pseudo_client", "unsplit")] == ["NoPeek", NONE]
    marvell = a_run("split_u", (40, 30), cut=("layer1", "layer2"), privacy=Privacy(cut_gradient="marvell"))
    assert [defences_known(marvell, each) for each in ("simulated_gradients", "gradient_norm")] == [
        "marvell", NONE,
    ]  # fmt: skip
    private = a_run("fedavg", (40, 30), privacy=Privacy(dp_sgd=DpSgd(clip=1.0, scale=1.0)))
    assert defences_known(private, "tableak") == NONE
    assert defences_known(a_run("fedavg", (40, 30, 20), secure_aggregation=True), "tableak") == SECURE
    wrong = a_run("split", (40, 30), privacy=Privacy(label_epsilon=1.0, dropout=0.1))
    assert defences_known(wrong, "randomized_labels") == "dropout, randomized response"
