"""Training keys that mean nothing for a strategy are refused with the reason."""

import pytest

from coordinator.config import Clip, Strategy, Training
from coordinator.errors import ConfigError
from coordinator.fitting_rules import check_fitting
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
