"""How often a record's activations leave: what is counted is what the algorithms send."""

import pytest
from federation import a_run, federate

from coordinator.config import Limits, Policy
from coordinator.errors import ConfigError
from coordinator.protocol.messages import Activations, Hello, Validated
from coordinator.specs import run_digest
from sites.gate import Gate
from sites.visits import Visits

SIZES = (40, 23, 9)
CUTS = {"split_u": ("layer1", "layer2")}
TRAINING = {"rounds": 2, "local_epochs": 3, "learning_rates": (0.05, 0.01), "batch_size": 8}
HELD = {"validation": 5, "test": 7}  # of the first site, in every federation of the tests'


def visits_of(run, site=0):
    return Visits(run, site, SIZES, **HELD)


def released(run):
    """Give the places of the activations that the first site sends in a whole run."""
    sent = federate(run, SIZES)[1]["site0"][2]
    return [message.position for message in sent if isinstance(message, Activations)]


@pytest.mark.parametrize("preset", ["split", "split_u", "split_parallel", "splitfed_v1", "multi_head"])
def test_every_record_leaves_as_often_as_the_schedule_says(preset):
    run = a_run(preset, SIZES, cut=CUTS.get(preset, ("layer1",)), training=TRAINING)
    visits = visits_of(run)
    for place in released(run):
        visits.add(place)
    assert {role: set(times.tolist()) for role, times in visits._times.items()} == {
        "train": {2 * 3 * 2}, "validation": {2 * 2}, "test": {1},
    }  # fmt: skip
    assert visits.most == 12


def test_the_epochs_that_adapt_count_too():
    run = a_run("split_private", SIZES, cut=CUTS["split_u"], training={**TRAINING, "learning_rates": (0.05,)})
    visits = visits_of(run.model_copy(update={"adapt": 4}))
    for place in released(run.model_copy(update={"adapt": 4})):
        visits.add(place)
    assert visits.most == 2 * 3 + 4


def test_what_is_repeated_after_a_rollback_counts_for_its_own_records():
    run = a_run("split", SIZES, training=TRAINING)
    visits = visits_of(run)
    for _ in range(4):
        visits.add((0, 0, 0, 0))
    assert visits.most == 4
    assert visits.after((0, 0, 0, 1)) == 4  # other records
    assert visits.after((0, 0, 0, 0)) == 5
    assert visits.after((0, 0, 0, -1)) == 4
    assert visits.after((0, 0, 0, 10**6)) == 4  # no such batch: no record


def gate(run, path, **limits):
    policy = Policy(releases=("activations", "labels", "sealed parts", "metrics"), limits=Limits(**limits))
    found = Gate(run, path, policy, visits_of(run))
    found.release(Hello("site0", run_digest(run), 0), 1)
    return found


def activations(*place):
    return Activations(place, None, None)


def test_a_policy_s_limit_on_releases_of_a_record_holds_over_restarts(tmp_path):
    run, path = a_run("split", SIZES, training=TRAINING), tmp_path / "ledger.jsonl"
    first = gate(run, path, releases_per_record=2)
    first.release(activations(0, 0, 0, 0), 1)
    first.release(activations(0, 0, 0, 1), 1)
    again = gate(run, path, releases_per_record=2)
    again.release(activations(0, 0, 0, 0), 1)
    with pytest.raises(
        ConfigError, match=r"releases_per_record would be 3 .*limits.releases_per_record is 2"
    ):
        again.release(activations(0, 0, 0, 0), 1)
    again.release(activations(0, 0, 0, 1), 1)
    assert len(path.read_text().splitlines()) == 6


def test_a_policy_s_limit_on_steps_counts_batches_that_train(tmp_path):
    run = a_run("split", SIZES, training=TRAINING)
    found = gate(run, tmp_path / "ledger.jsonl", steps=2)
    found.release(activations(0, 0, 0, 0), 1)
    found.release(activations(0, 0, 0, -1), 1)
    found.release(activations(-1, -1, 0, -1), 1)
    found.release(Validated((0, 0, 0, -1), 0.0, 1, 0.0, 1), 1)
    found.release(activations(0, 0, 0, 1), 1)
    with pytest.raises(ConfigError, match=r"steps would be 3 .*limits\.steps is 2"):
        found.release(activations(0, 0, 0, 2), 1)
