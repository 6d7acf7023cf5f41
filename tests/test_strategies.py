"""Which settings of a strategy go together: every legal combination resolves, others say why they do not."""

from itertools import product
from pathlib import Path

import pytest

from coordinator.config import OnLoss, Strategy, Training
from coordinator.errors import ConfigError
from coordinator.presets import AXES, PRESETS
from coordinator.runs import runs_of, sequence_of
from coordinator.specs import run_digest
from coordinator.strategies import axes_of, check_optimizer
from coordinator.study import read_study
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


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"policy": "wait", "at_least": 2}, "belongs to policy: continue"),
        ({"policy": "continue"}, "needs at_least"),
        ({"policy": "continue", "at_least": 2, "minutes": None}, "needs minutes"),
    ],
)
def test_going_on_without_a_site_says_with_how_few_and_after_how_long(settings, words):
    with pytest.raises(ValueError, match=words):
        OnLoss(**settings)


def going_on(*, at_least=2):
    study, sites, _ = read_study([Path("config/studies/ci.yaml")])
    on_loss = OnLoss(policy="continue", at_least=at_least, minutes=1)
    prepared = {name: dict.fromkeys(task.sites, "p") for name, task in study.tasks.items()}
    return runs_of(study.model_copy(update={"on_loss": on_loss}), prepared, sites)


def test_who_trains_alone_waits_where_others_go_on():
    policies = {run.preset: run.on_loss.policy for run in going_on().values()}
    assert policies["centralized"] == "wait"
    assert policies["fedavg"] == policies["split"] == "continue"


def test_more_sites_than_there_are_cannot_go_on():
    with pytest.raises(ConfigError, match="9 sites are to go on"):
        going_on(at_least=9)


def test_what_is_approved_says_whether_a_run_may_go_on_without_a_site():
    run = a_run("fedavg", (3, 4))
    goes_on = {k: run.model_copy(update={"on_loss": OnLoss(policy="continue", at_least=k)}) for k in (1, 2)}
    patient = run.model_copy(update={"on_loss": OnLoss(policy="abort", minutes=1)})
    assert run_digest(patient) == run_digest(run)
    assert len({run_digest(each) for each in (run, *goes_on.values())}) == 3
