"""What is counted of every strategy's messages is what the closed form says, to the byte."""

from collections import Counter

import pytest

from coordinator.config import Model
from coordinator.presets import PRESETS
from coordinator.schedule import schedule
from coordinator.traffic import hops, scored, widths_of
from tests.federation import a_run, federate
from tests.finished_run import cut_for

SIZES = (40, 20, 9)
SHAPE = (6,)
PHASES = {"validated": "validation", "verdict": "validation"}
ADAM = {"optimizer": "adam", "rounds": 2, "local_epochs": 2}
SGD = ("scaffold", "fednova")


def expected(run, cohort):
    """Add up the closed form, by direction, phase and kind."""
    widths, total = widths_of(run, cohort), Counter()
    for item in schedule(run, cohort.train):
        phase = "validation" if type(item).__name__ == "Validate" else "training"
        for hop in hops(run, cohort, widths, item):
            total[f"{hop.way}.{phase}.{hop.kind}"] += hop.payload
    if run.algorithm == "split":
        for hop in scored(run, cohort.test, widths, labels=False):
            total[f"{hop.way}.prediction.{hop.kind}"] += hop.payload
    return +total


def counted(channel):
    """Give what the coordinator counted of the arrays of all messages."""
    return +channel.lines.sizes().payload


@pytest.mark.parametrize("preset", [name for name in PRESETS if name != "centralized"])
def test_the_payload_equals_the_closed_form(preset):
    training = {} if preset in SGD else ADAM
    run = a_run(preset, SIZES, cut=cut_for(preset), training=training)
    party, _, channel = federate(run, SIZES, SHAPE)
    found = counted(channel)
    assert found == expected(run, party.cohort)
    assert bool(found) == (preset != "local")


@pytest.mark.parametrize(
    "changes",
    [
        {"turn": "batch", "interleave": "proportional"},
        {"participation": 0.5, "training": {"rounds": 4, "learning_rates": (0.1, 0.01)}},
        {"labels": "private", "cut": ("layer1", "layer2"), "training": {"momentum": 0.9}},
    ],
)
def test_it_does_under_other_settings_too(changes):
    run = a_run("split", SIZES, **changes)
    party, _, channel = federate(run, SIZES, SHAPE)
    assert counted(channel) == expected(run, party.cohort)


def test_buffers_travel_too_and_fedbn_keeps_its_layers():
    shape, model = (1, 8, 8), Model(name="cnn", channels=(4, 8))
    sizes = {}
    for preset in ("fedavg", "fedbn"):
        run = a_run(preset, SIZES, model=model)
        party, _, channel = federate(run, SIZES, shape)
        sizes[preset] = counted(channel)
        assert sizes[preset] == expected(run, party.cohort)
    assert sizes["fedbn"].total() < sizes["fedavg"].total()
