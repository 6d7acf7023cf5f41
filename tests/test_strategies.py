"""Which settings of a strategy go together: every legal combination resolves, others say why they do not."""

from itertools import product

import pytest

from coordinator.config import Strategy, Training
from coordinator.errors import ConfigError
from coordinator.presets import AXES, PRESETS
from coordinator.runs import sequence_of
from coordinator.strategies import axes_of, check_optimizer
from tests.federation import a_run

PARTS = ("handed_on", "averaged", "synchronous", "private")
BACKS = ("single", "averaged", "joint")
LEGAL = {
    ("handed_on", "single"), ("averaged", "single"), ("private", "single"),
    ("averaged", "averaged"), ("private", "averaged"), ("synchronous", "joint"), ("private", "joint"),
}  # fmt: skip


def refused(**settings):
    with pytest.raises(ConfigError) as caught:
        axes_of("mine", Strategy(**settings))
    assert caught.value.key.startswith("strategies.mine")
    return str(caught.value)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_needs_nothing_set(preset):
    axes = axes_of(preset, Strategy())
    assert axes["preset"] == preset
    assert set(axes) <= {"preset", "algorithm", "rule", *AXES}


@pytest.mark.parametrize(("parts", "back"), list(product(PARTS, BACKS)))
@pytest.mark.parametrize("labels", ["shared", "private"])
def test_the_legal_combinations_of_the_design_and_no_others_resolve(labels, parts, back):
    settings = {"preset": "split", "labels": labels, "site_parts": parts, "back": back}
    if (parts, back) in LEGAL:
        assert axes_of("mine", Strategy(**settings))["back"] == back
    else:
        assert parts in refused(**settings).replace("handed-on", "handed_on")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"preset": "splitfed_v1", "turn": "batch"}, "orders the updates of a single back"),
        ({"preset": "split", "interleave": "proportional"}, "set turn: batch"),
        ({"preset": "split", "optimizer_state": "kept"}, "nothing is"),
        ({"preset": "local", "participation": 0.5}, "remove participation"),
        ({"preset": "cyclic", "participation": 0.5}, "remove participation"),
        ({"preset": "fedavg", "proximal_mu": 0.1}, "no such setting"),
        ({"preset": "fedavg", "labels": "shared"}, "no such setting"),
        ({"preset": "fedavgg"}, "did you mean 'fedavg'?"),
    ],
)
def test_what_does_not_go_together_is_refused_with_its_reason(settings, words):
    message = refused(**settings)
    if words == "no such setting":
        assert words in message
    assert words in message


@pytest.mark.parametrize(
    ("preset", "training"),
    [
        ("scaffold", {"optimizer": "adam"}),
        ("scaffold", {"optimizer": "sgd", "momentum": 0.9}),
        ("fednova", {"optimizer": "adamw"}),
    ],
)
def test_a_rule_that_is_not_defined_for_an_optimizer_is_refused(preset, training):
    with pytest.raises(ConfigError, match=f"{preset} .*sgd"):
        check_optimizer(preset, axes_of(preset, Strategy()), Training(**training))
    check_optimizer(preset, axes_of(preset, Strategy()), Training(optimizer="sgd"))


def test_strategies_are_one_result_only_where_all_parties_compute_alike():
    def sequences(**devices):
        runs = (a_run(preset, (9, 9), cut=("layer1",), devices=devices) for preset in ("split", "cyclic"))
        return [sequence_of(run) for run in runs]

    split, cyclic = sequences()
    assert split == cyclic is not None
    assert sequences(coordinator="cuda") == [None, None]
    assert None not in sequences(**dict.fromkeys(("coordinator", "pooled", "site0", "site1"), "cuda"))
