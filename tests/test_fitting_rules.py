"""Training keys that mean nothing for a strategy are refused with the reason."""

import pytest

from coordinator.config import Clip, Strategy, Training
from coordinator.errors import ConfigError
from coordinator.fitting_rules import check_fitting, check_participation
from coordinator.presets import PRESETS
from coordinator.strategies import axes_of

JOINT = {"preset": "split_parallel", "site_parts": "private"}


def checked(strategy, training):
    settings = strategy if isinstance(strategy, dict) else {"preset": strategy}
    check_fitting("mine", axes_of("mine", Strategy(**settings)), Training(**training))


@pytest.mark.parametrize(
    ("strategy", "training", "words"),
    [
        ("scaffold", {"clip": Clip(norm=1.0)}, "do not add up"),
        (JOINT, {"clip": Clip(norm=1.0)}, "a front per site"),
        ("fedavg", {"warm_up": 5, "rounds": 5}, "a warm-up of 5 rounds leaves none of 5"),
    ],
)
def test_what_does_not_go_together_is_refused_with_its_reason(strategy, training, words):
    with pytest.raises(ConfigError, match=words) as caught:
        checked(strategy, training)
    assert caught.value.key == "strategies.mine"


@pytest.mark.parametrize("scope", ["global", "party"])
@pytest.mark.parametrize("preset", [name for name in PRESETS if name != "scaffold"])
def test_every_other_preset_clips(preset, scope):
    checked(preset, {"clip": Clip(norm=1.0, scope=scope), "warm_up": 4, "rounds": 5})
    checked(JOINT, {"clip": Clip(norm=1.0, scope="party")})


SITES = ("north", "south")


@pytest.mark.parametrize(
    ("strategy", "training", "words"),
    [
        ({"preset": "fedavg", "join": {"nort": 1}}, {}, "no site 'nort' in the task; did you mean 'north'"),
        ({"preset": "fedavg"}, {"epochs_by_site": {"east": 2}}, "no site 'east'"),
        ({"preset": "local", "join": {"north": 1}}, {}, "no rounds that sites share"),
        ({"preset": "centralized", "leave": {"north": 1}}, {}, "no rounds that sites share"),
        ({"preset": "split_parallel"}, {"epochs_by_site": {"north": 2}}, "in proportion"),
        (
            {"preset": "fedavg", "join": {"north": 1, "south": 2}},
            {"rounds": 4},
            "no site is there in round 0",
        ),
        (
            {"preset": "split", "leave": {"north": 1, "south": 2}},
            {"rounds": 4},
            "no site is there in round 2",
        ),
        ({"preset": "fedavg", "participation": "a.jsonl", "join": {"north": 1}}, {}, "says who was there"),
    ],
)
def test_participation_that_means_nothing_is_refused(strategy, training, words):
    wanted = Strategy(**strategy)
    with pytest.raises(ConfigError, match=words):
        check_participation("mine", axes_of("mine", wanted), wanted, Training(**training), SITES)


@pytest.mark.parametrize("preset", ["fedavg", "scaffold", "cyclic", "split", "split_parallel", "splitfed_v3"])
def test_sites_may_join_and_leave_wherever_rounds_are_shared(preset):
    wanted = Strategy(preset=preset, join={"north": 1}, leave={"south": 3})
    check_participation("mine", axes_of("mine", wanted), wanted, Training(rounds=4), SITES)
