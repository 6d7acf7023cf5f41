"""Site parts that leave, trained by DP-SGD, with what else goes up under noise."""

import pytest
import torch
from federation import a_run, federate

from coordinator.config import Budget, DpSgd, Model, Noise, Privacy
from coordinator.privacy.accounting import noise_cost, pure_cost

SIZES = (40, 20)
DRY = Model(name="mlp", hidden=(16, 8))
SHARED = Privacy(noise=Noise(clip=1.0, scale=2.0), dp_sgd=DpSgd(clip=0.5, scale=3.0), label_epsilon=1.0)
PRIVATE = Privacy(noise=Noise(clip=1.0, gradient_clip=0.5, scale=2.0), dp_sgd=DpSgd(clip=0.5, scale=3.0))
CASES = {"split": SHARED, "splitfed_v1": SHARED, "splitfed_v2": SHARED, "split_u": PRIVATE}


def run_of(preset, privacy, **changes):
    cut = ("layer1", "layer2") if preset == "split_u" else ("layer1",)
    return a_run(preset, SIZES, cut=cut, model=DRY, privacy=privacy, **changes)


@pytest.mark.parametrize("preset", CASES)
def test_every_step_is_in_the_account_beside_what_went_up(tmp_path, preset):
    run = run_of(preset, CASES[preset])
    party, outcomes, _ = federate(run, SIZES, guards=tmp_path)
    visit = noise_cost("gaussian", 2.0).times(2 if preset == "split_u" else 1) + noise_cost("gaussian", 3.0)
    labels = pure_cost(1.0) if preset != "split_u" else pure_cost(0.0)
    for site in run.sites:
        account = outcomes[site][0].guard.account
        assert account.epsilons()["train"] == pytest.approx((visit.times(2) + labels).epsilon(1e-5))
    assert party.best_loss > 0


@pytest.mark.parametrize("preset", ["splitfed_v1", "split_u"])
def test_with_hardly_any_noise_and_huge_clips_it_is_plain_training(tmp_path, preset):
    clip = {"gradient_clip": 1e6} if preset == "split_u" else {}
    quiet = Privacy(noise=Noise(clip=1e6, scale=1e-14, **clip), dp_sgd=DpSgd(clip=1e6, scale=1e-14))
    found = []
    for privacy in (quiet, Privacy()):
        run = run_of(preset, privacy, training={"rounds": 3, "optimizer": "sgd"})
        _, outcomes, _ = federate(run, SIZES, guards=tmp_path / str(len(found)))
        found.append(
            {k: v for part in outcomes["site0"][0].parts.values() for k, v in part.state_dict().items()}
        )
    assert len(found[0]) > 1
    for name, value in found[1].items():
        assert torch.allclose(found[0][name], value, atol=1e-5), name


def test_one_scale_is_found_for_all_noises_together(tmp_path):
    privacy = Privacy(
        noise=Noise(clip=1.0, gradient_clip=0.5), dp_sgd=DpSgd(clip=0.5), budget=Budget(epsilon=10)
    )
    run = run_of("split_u", privacy, training={"rounds": 5})
    party, outcomes, _ = federate(run, SIZES, guards=tmp_path)
    assert len(party.rounds) == 5
    guard = outcomes["site0"][0].guard
    assert guard.step_scale == guard.scale > 1
    assert guard.account.epsilons()["train"] == pytest.approx(10)
