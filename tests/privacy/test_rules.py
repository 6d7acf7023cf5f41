"""Which defences a strategy can have; each refusal names its reason."""

import pytest
from federation import a_run

from coordinator.config import Budget, Clip, DpSgd, Model, Noise, OnLoss, Privacy
from coordinator.errors import ConfigError
from coordinator.privacy.rules import check_defences

SIZES = (20, 20, 20)
NOISE = Noise(clip=1.0, scale=1.0)
U_NOISE = Noise(clip=1.0, gradient_clip=1.0, scale=1.0)
SGD = DpSgd(clip=1.0, scale=1.0)
IMAGES = Model(name="resnet18", norm="batch")
GLOBAL = {"clip": Clip(norm=1.0)}
OWN = {"training": {"clip": Clip(norm=1.0, scope="party")}}
REFUSED = {
    "noise without a cut": ("fedavg", {"noise": NOISE}, {}, "nothing leaves at a cut"),
    "a codec without a cut": ("local", {"activations": "int8"}, {}, "nothing leaves at a cut"),
    "batch norm": ("split", {"noise": NOISE}, {"model": IMAGES}, "batch norm mixes the records"),
    "lengths told": ("split", {"noise": NOISE}, {"training": GLOBAL}, "set scope: party"),
    "one clip for two releases": ("split_u", {"noise": NOISE}, {}, "a second release"),
    "a clip too many": ("split", {"noise": U_NOISE}, {}, "no gradient goes up"),
    "labels that stay": ("split_u", {"label_epsilon": 1.0}, {}, "labels stay at the site"),
    "labels that are sent": ("split", {"cut_gradient": "max_norm"}, {}, "labels are shared"),
    "two noises": ("split_u", {"noise": U_NOISE, "cut_gradient": "marvell"}, {}, "keep one of the two"),
    "a budget of nothing": ("split", {"budget": Budget(epsilon=1)}, {}, "nothing that has an epsilon"),
    "no scale": ("split", {"noise": Noise(clip=1.0)}, {}, "give one of the two"),
    "DP-SGD of parts alone": ("split", {"dp_sgd": SGD}, {}, "noise on its steps alone covers nothing"),
    "DP-SGD and labels": ("split", {"dp_sgd": SGD, "noise": NOISE}, {}, "label_epsilon where labels"),
    "DP-SGD of private parts": (
        "split_private",
        {"dp_sgd": SGD, "noise": U_NOISE},
        {},
        "not private ones",
    ),
    "DP-SGD with NoPeek": (
        "split_u",
        {"dp_sgd": SGD, "noise": U_NOISE, "no_peek": 1.0},
        {},
        "no gradient is",
    ),
    "one scale of two": ("split_u", {"dp_sgd": DpSgd(clip=1.0), "noise": U_NOISE}, {}, "or neither"),
    "DP-SGD of what stays": ("local", {"dp_sgd": SGD}, {}, "leaves where it is trained"),
    "DP-SGD of a GRU": ("fedavg", {"dp_sgd": SGD}, {"model": Model(name="gru")}, "Opacus does not"),
    "DP-SGD with batch norm": ("fedavg", {"dp_sgd": SGD}, {"model": IMAGES}, "no gradient of one record"),
    "DP-SGD clipped twice": ("fedavg", {"dp_sgd": SGD}, {"training": GLOBAL}, "remove training.clip"),
    "DP-SGD in SCAFFOLD": ("scaffold", {"dp_sgd": SGD}, {}, "corrects each step"),
    "a sum of nothing": ("split", {}, {"secure_aggregation": True}, "averages nothing"),
    "a sum in SCAFFOLD": ("scaffold", {}, {"secure_aggregation": True}, "control variate"),
    "a sum in FedNova": ("fednova", {}, {"secure_aggregation": True}, "divides each site's own change"),
    "a sum of two": ("fedavg", {}, {"secure_aggregation": True, "participation": 0.5}, "at least 3"),
    "a sum that is repeated without a site": (
        "fedavg",
        {},
        {"secure_aggregation": True, "on_loss": OnLoss(policy="continue", at_least=3)},
        "set on_loss.policy: wait",
    ),
    "a sum in a repeated record": (
        "fedavg",
        {},
        {"secure_aggregation": True, "away": ((0, 5, (1,)),)},
        "set on_loss.policy: wait",
    ),
}
TAKEN = {
    "noise": ("split", {"noise": NOISE}, {}),
    "noise, clipped by party": ("split", {"noise": NOISE}, OWN),
    "noise, labels private": ("split_u", {"noise": U_NOISE}, {}),
    "labels alone": ("split", {"label_epsilon": 1.0, "budget": Budget(epsilon=2)}, {}),
    "gradients": ("split_private", {"cut_gradient": "marvell"}, {}),
    "DP-SGD": ("fedprox", {"dp_sgd": SGD}, {}),
    "cyclic DP-SGD": ("cyclic", {"dp_sgd": DpSgd(clip=1.0), "budget": Budget(epsilon=3)}, {}),
    "DP-SGD of parts": ("split_u", {"dp_sgd": SGD, "noise": U_NOISE}, {}),
    "a sum": ("fedadam", {}, {"secure_aggregation": True}),
    "a sum of fronts": ("splitfed_v2", {"noise": NOISE}, {"secure_aggregation": True}),
    "nothing": ("centralized", {}, {}),
}  # fmt: skip


def run_of(preset, privacy, changes):
    return a_run(preset, SIZES, privacy=Privacy(**privacy), **changes)


@pytest.mark.parametrize("case", REFUSED)
def test_a_defence_that_does_not_hold_is_refused_with_its_reason(case):
    *run, reason = REFUSED[case]
    with pytest.raises(ConfigError, match=reason) as refused:
        check_defences(run_of(*run))
    assert refused.value.key.startswith(f"strategies.{run[0]}.")


@pytest.mark.parametrize("case", TAKEN)
def test_what_goes_together_is_taken(case):
    check_defences(run_of(*TAKEN[case]))
