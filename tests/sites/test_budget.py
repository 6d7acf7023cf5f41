"""What a policy lets through the gate, and how much, over all attempts at a run."""

import json

import numpy as np
import pytest
from federation import LIMIT, a_run

from coordinator.config import Limits, Policy
from coordinator.errors import ConfigError, DataError
from coordinator.protocol.inproc import Hub
from coordinator.protocol.messages import Activations, Committed, Hello, Validated
from coordinator.specs import digest
from sites.budget import spent_in
from sites.gate import Gate, open_channel
from sites.ledger import chained

RUN = a_run("split", (40, 20))
X, Y = np.zeros((2, 3), np.float32), np.zeros(2, np.float32)
ALL = ("activations", "labels", "metrics", "sealed parts")
HELLO = Hello("site0", digest(RUN), 0)


def policy(*releases, **limits):
    return Policy(releases=releases or ALL, limits=Limits(**limits))


def activations(round_, step=0, trial=0):
    return Activations((trial, round_, 0, step), X, None)


def spent(path, run=RUN):
    return spent_in((entry for _, _, entry in chained(path) if entry), digest(run))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.jsonl"


# kinds


def test_a_kind_the_policy_does_not_list_is_refused_before_it_is_sent(path):
    hub = Hub()
    channel, _ = open_channel(RUN, hub.spoke("site0"), path, limit=LIMIT, policy=policy("metrics"))
    channel.send(HELLO)
    channel.send(Validated((0, 0, 0, -1), 0.0, 1, 0.0, 1))
    assert hub.receive(0)
    assert hub.receive(0)
    with pytest.raises(ConfigError, match="the policy's releases do not list activations; nothing was sent"):
        channel.send(activations(0))
    assert hub.receive(0.01) is None
    assert [json.loads(line)["kind"] for line in path.read_text().splitlines()] == ["Hello", "Validated"]


def test_activations_with_labels_need_both(path):
    labelled = Activations((0, 0, 0, 0), X, Y)
    with pytest.raises(ConfigError, match="do not list labels"):
        Gate(RUN, path, policy("activations")).release(labelled, 1)
    Gate(RUN, path, policy("activations")).release(activations(0), 1)
    Gate(RUN, path, policy("activations", "labels")).release(labelled, 1)


def test_a_policy_widens_no_way_to_train(path):
    generous = policy(*ALL, "weights", "gradients", "aggregates", "gradient norms")
    with pytest.raises(ConfigError, match="'local' does not release it"):
        Gate(a_run("local", (40, 20)), path, generous).release(activations(0), 1)


# limits


def test_bytes_are_counted_over_restarts_of_the_same_spec_alone(path):
    limited = policy(bytes=100)
    first = Gate(RUN, path, limited)
    first.release(HELLO, 10)
    first.release(activations(0), 60)
    Gate(a_run("local", (40, 20)), path, limited).release(HELLO, 90)  # another run's
    again = Gate(RUN, path, limited)
    again.release(HELLO, 10)
    with pytest.raises(
        ConfigError, match=r"bytes would be 101 over all its attempts, .*limits\.bytes is 100"
    ):
        again.release(activations(0), 21)
    again.release(activations(0), 20)
    with pytest.raises(ConfigError, match="refused Hello"):
        Gate(RUN, path, limited).release(HELLO, 1)
    assert spent(path).bytes == 100


def test_a_round_repeated_after_a_rollback_counts_again(path):
    gate = Gate(RUN, path, policy(rounds=3))
    gate.release(HELLO, 1)
    for step in range(3):
        gate.release(activations(0, step), 1)
    gate.release(Committed(1, "h", "l"), 1)
    gate.release(activations(1), 1)
    gate.went_on(1)
    gate.release(activations(1), 1)
    gate.release(activations(1, 1), 1)
    gate.release(Activations((-1, 0, 0, -1), X, None), 1)  # the final scoring is of no round
    with pytest.raises(ConfigError, match=r"limits\.rounds is 3"):
        gate.release(activations(2), 1)
    assert spent(path).rounds == 3


def test_a_round_begun_anew_after_a_restart_counts_again(path):
    for expected in (1, 2, 3):
        gate = Gate(RUN, path, policy(rounds=2))
        gate.release(HELLO, 1)
        if expected < 3:
            gate.release(activations(0), 1)
            continue
        with pytest.raises(ConfigError, match=r"limits\.rounds is 2"):
            gate.release(activations(0), 1)


def test_rounds_of_every_learning_rate_count(path):
    gate = Gate(RUN, path, policy(rounds=4))
    gate.release(HELLO, 1)
    for trial in range(2):
        for round_ in range(2):
            gate.release(activations(round_, trial=trial), 1)
    assert spent(path).rounds == 4


def test_a_run_goes_back_as_often_as_the_policy_says(path):
    gate = Gate(RUN, path, policy(rollbacks=1))
    gate.release(HELLO, 1)
    gate.went_on(1)
    gate = Gate(RUN, path, policy(rollbacks=1))
    gate.release(HELLO, 1)
    with pytest.raises(ConfigError, match=r"refused to go back to commit 1: .*limits\.rollbacks is 1"):
        gate.went_on(1)
    assert spent(path).rollbacks == 1


def test_beginning_anew_for_want_of_a_commit_is_going_back(path):
    for expected in range(3):
        gate = Gate(RUN, path, policy(rollbacks=2))
        gate.release(HELLO, 1)
        gate.release(HELLO, 1)  # refused at first, and said again
        gate.release(activations(0), 1)
        gate.release(activations(1), 1)
        assert spent(path).rollbacks == expected
    gate = Gate(RUN, path, policy(rollbacks=2))
    gate.release(HELLO, 1)
    with pytest.raises(ConfigError, match=r"refused Activations: .*limits\.rollbacks is 2"):
        gate.release(activations(0), 1)


def test_without_limits_nothing_is_counted_against(path):
    gate = Gate(RUN, path)
    gate.release(HELLO, 10**12)
    for number in range(50):
        gate.went_on(number)


def test_a_line_cut_off_counts_nothing(path):
    gate = Gate(RUN, path, policy(bytes=20))
    gate.release(HELLO, 10)
    with path.open("a") as file:
        file.write('{"kind":"Activ')
    Gate(RUN, path, policy(bytes=20)).release(HELLO, 10)
    assert spent(path).bytes == 20


def test_a_budget_is_not_reset_by_changing_the_ledger(path):
    gate = Gate(RUN, path, policy(bytes=100))
    for message, size in ((HELLO, 10), (activations(0), 80), (activations(1), 5)):
        gate.release(message, size)
    path.write_text(path.read_text().replace('"bytes":80', '"bytes":1'))
    with pytest.raises(DataError, match="the ledger was changed"):
        Gate(RUN, path, policy(bytes=100))
    Gate(RUN, path)  # without a policy nothing is held against it; `ledger verify` tells
