"""The release gate: what may leave a site under each way to train, and the ledger of what did."""

import ast
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import get_args

import federation
import numpy as np
import pytest
import torch
from federation import LIMIT, a_run, federate

from coordinator.config import Clip, Limits, OnLoss, Policy, Release
from coordinator.errors import ConfigError
from coordinator.protocol import messages
from coordinator.protocol.inproc import Hub
from coordinator.protocol.messages import Activations, HeadGradient, Hello, Validated
from coordinator.specs import Agreement, Estimation, digest, run_digest
from sites import gate
from sites.budget import spent_in
from sites.ledger import released, verified

ROOT = Path(__file__).resolve().parent.parent.parent
PLACE = (0, 0, 0, 0)
SIZES = (40, 20, 9)
CUTS = dict.fromkeys(("split_u", "split_private"), ("layer1", "layer2"))
CUTS |= dict.fromkeys(("split", "splitfed_v1", "split_parallel"), ("layer1",))
PRESETS = ("centralized", "local", "cyclic", "fedavg", "scaffold", *CUTS)
CLIPPED = {"clip": Clip(norm=1.0)}
X = np.zeros((2, 3), np.float32)
Y = np.zeros(2, np.float32)
AGREEMENT = Agreement(
    study="test", task="task", seed=0, sites=("a",), prepared={}, validation=0.1, missing="impute",
    min_cell=5, threads=1,
)  # fmt: skip


ESTIMATION = Estimation(
    study="test", task="task", sites=("a",), runs={"split/0": "x"}, scores={"a": {"split/0": "f"}},
    min_cell=5, bootstrap=100, specificity=0.9, split_seed=0, threads=1,
)  # fmt: skip
GOES_ON = OnLoss(policy="continue", minutes=1, at_least=1)
# way to train -> a spec of it, and what it allows
WAYS = {
    "agreement": (AGREEMENT, gate.ALLOWED["agreement"]),
    "estimation": (ESTIMATION, gate.ALLOWED["estimation"]),
    "local": (a_run("local", SIZES), gate.ALLOWED["local"]),
    "federated": (a_run("fedavg", SIZES), gate.ALLOWED["federated"]),
    "cyclic": (a_run("cyclic", SIZES), gate.ALLOWED["cyclic"]),
    "handed_on": (a_run("split", SIZES), gate.ALLOWED["split"] | {"sealed parts"}),
    "averaged": (a_run("splitfed_v2", SIZES), gate.ALLOWED["split"] | {"weights"}),
    "synchronous": (a_run("split_parallel", SIZES), gate.ALLOWED["split"] | {"gradients"}),
    "private": (a_run("split_private", SIZES), gate.ALLOWED["split"]),
    "averaged, goes on": (
        a_run("splitfed_v2", SIZES, on_loss=GOES_ON),
        gate.ALLOWED["split"] | {"weights", "sealed parts"},
    ),
    "private, goes on": (a_run("split_private", SIZES, on_loss=GOES_ON), gate.ALLOWED["split"]),
    "clipped": (a_run("split_private", SIZES, training=CLIPPED), gate.ALLOWED["split"] | {"gradient norms"}),
    "clipped joint": (
        a_run("split_parallel", SIZES, training=CLIPPED),
        gate.ALLOWED["split"] | {"gradients"},
    ),
}


# from the sources


def calls(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield getattr(node.func, "id", getattr(node.func, "attr", ""))


def test_only_the_gate_makes_a_site_s_channel():
    sources = [path for layer in ("coordinator", "sites") for path in (ROOT / layer).rglob("*.py")]
    makers = {path.relative_to(ROOT).as_posix() for path in sources if "SiteChannel" in calls(path)}
    assert makers == {"sites/gate.py"}


def test_a_site_s_link_is_used_by_nothing_but_the_gate():
    """Who holds a `Dealer` could send beside the gate: one function opens it, and the gate outside."""
    sources = list((ROOT / "sites").rglob("*.py"))
    openers = {path.relative_to(ROOT).as_posix() for path in sources if "Dealer" in calls(path)}
    assert openers == {"sites/client.py", "sites/gatekeeping.py"}


def test_every_message_a_site_may_send_has_a_name_in_policies():
    down = {"Welcome", "Kept", "Refused", "Bye", "Agreed"}
    down |= {"Resumed", "CutGradient", "Features", "Verdict", "Scores", "Control", "SumThere", "Missed"}
    kinds = {kind.__name__ for kind in messages.Message.__subclasses__()}
    assert set(gate.RELEASES) == kinds - down
    assert set(gate.RELEASES.values()) == {*get_args(Release), gate.CONVERSATION} - {gate.LABELS}
    of_parts = {*gate.OF_PARTS.values(), gate.OF_CLIPPING, gate.MASKED}
    assert of_parts.union(*gate.ALLOWED.values()) == set(gate.RELEASES.values())


# what may leave


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", [*gate.RELEASES, "Verdict", "CutGradient"])
def test_each_way_to_train_releases_what_its_policy_says_and_nothing_else(tmp_path, way, name):
    link = Hub()
    spoke = link.spoke("a")
    spec, allowed = WAYS[way]
    channel, _ = gate.open_channel(spec, spoke, tmp_path / "ledger.jsonl", limit=LIMIT)
    message = sample(name)
    if gate.RELEASES.get(name) in allowed:
        channel.send(message)
        assert link.receive(0)
    else:
        with pytest.raises(ConfigError, match=f"refused {name}"):
            channel.send(message)
        assert link.receive(0.01) is None
        assert (tmp_path / "ledger.jsonl").read_text() == ""


def sample(name):
    """Make some message of this kind."""
    values = {
        "position": PLACE, "tensor": X, "labels": None, "site": "a", "spec": "s", "last_seen": 0,
        "hashes": {}, "costs": {}, "names": (), "counts": {}, "n": Y, "mean": Y, "m2": Y, "missing": Y,
        "limits": X, "histogram": X, "levels": {}, "suppressed": 0, "shapes": {}, "giver": "a", "taker": "b",
        "box": X,
        "tensors": (X,), "records": 1, "train_loss": 0.0, "train_records": 1, "loss": 0.0, "best": True,
        "stop": False, "end": False, "goes_on": True, "keys": (X,), "boxes": (X,), "words": X, "shares": (X,),
        "values": Y, "commits": {1: "h"}, "number": 1, "hash": "h", "ledger": "l",
        "signature": "",
        "session": 0, "patients": 1, "events": 1, "areas": Y, "covariance": X, "groups": X, "same": Y,
        "means": X, "reasons": {}, "metrics": (), "pairs": 1, "ranked": 1.0,
    }  # fmt: skip
    kind = getattr(messages, name)
    return kind(**{field: values[field] for field in kind.__struct_fields__})


def test_labels_leave_where_they_are_shared_and_nowhere_else(tmp_path):
    with_labels = Activations(PLACE, X, Y)
    shared = gate.Gate(a_run("split", SIZES), tmp_path / "shared.jsonl")
    shared.release(with_labels, 10)
    private = gate.Gate(a_run("split_u", SIZES, cut=CUTS["split_u"]), tmp_path / "private.jsonl")
    private.release(Activations(PLACE, X, None), 10)
    private.release(HeadGradient(PLACE, X), 10)
    with pytest.raises(ConfigError, match="refused Activations with labels"):
        private.release(with_labels, 10)


def test_what_a_cut_makes_a_site_say_again_is_written_down_and_is_no_other_round(tmp_path):
    path = tmp_path / "ledger.jsonl"
    policy = Policy(releases=get_args(Release), limits=Limits(bytes=400, rounds=1, rollbacks=0))
    spec = a_run("split", SIZES)
    keeper = gate.Gate(spec, path, policy)
    said = Hello("a", "s", 0)
    keeper.release(said, 50)
    keeper.release(Activations(PLACE, X, Y), 100)
    keeper.release_again(Hello("a", "s", 1), 50)
    keeper.release_again(Activations(PLACE, X, Y), 100)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line.get("resent") for line in lines] == [None, None, "after a cut", "after a cut"]
    assert [line["labels"] for line in lines] == [False, True, False, True]
    assert released(path) == 100
    (session,), _, _ = verified(path)
    assert session.sizes == {
        "Hello": 50,
        "Activations": 100,
        "Hello (resent)": 50,
        "Activations (resent)": 100,
    }
    spent = spent_in(lines, run_digest(spec))
    assert (spent.bytes, spent.rounds, spent.rollbacks) == (300, 1, 0)
    with pytest.raises(ConfigError, match=r"limits\.bytes is 400"):
        keeper.release_again(Activations(PLACE, X, Y), 101)


# a whole run past the gate


def gated(preset, tmp_path, monkeypatch):
    """Run a federation whose sites speak through real gates; give what left and the ledgers."""

    def channel(link, *, limit, release):
        site = link._site

        def both(message, size):
            opened[site].release(message, size)
            release(message, size)

        return real(link, limit=limit, release=both)

    run = a_run(preset, SIZES, cut=CUTS.get(preset, ()))
    real = federation.SiteChannel
    opened = {name: gate.Gate(run, tmp_path / f"{name}.jsonl") for name in run.parties}
    monkeypatch.setattr(federation, "SiteChannel", channel)
    _, outcomes, counted = federate(run, SIZES)
    ledgers = {
        name: [json.loads(line) for line in (tmp_path / f"{name}.jsonl").read_text().splitlines()]
        for name in run.parties
    }
    return outcomes, counted, ledgers


@pytest.mark.parametrize("preset", PRESETS)
def test_the_ledger_holds_every_byte_that_left(tmp_path, monkeypatch, preset):
    outcomes, counted, ledgers = gated(preset, tmp_path, monkeypatch)
    for name, (_, _, sent, channel) in outcomes.items():
        ledger = ledgers[name]
        assert [line["kind"] for line in ledger] == [type(message).__name__ for message in sent]
        up = sum(size for key, size in channel.line.bytes.items() if key.startswith("up."))
        assert sum(line["bytes"] for line in ledger) == up
        heard = sum(size for key, size in counted.lines[name].bytes.items() if key.startswith("up."))
        assert heard == up
        assert (ledger[0]["kind"], ledger[-1]["kind"]) == ("Hello", "Done")


@pytest.mark.parametrize("preset", PRESETS)
def test_a_ledger_tells_how_many_rounds_were_trained(tmp_path, monkeypatch, preset):
    _, _, ledgers = gated(preset, tmp_path, monkeypatch)
    run = a_run(preset, SIZES, cut=CUTS.get(preset, ()))
    rounds = {spent_in(ledger, digest(run)).rounds for ledger in ledgers.values()}
    assert rounds == {run.training.rounds}


@pytest.mark.parametrize("preset", PRESETS)
def test_no_way_to_train_sends_more_kinds_than_it_needs(tmp_path, monkeypatch, preset):
    _, _, ledgers = gated(preset, tmp_path, monkeypatch)
    sent = {line["kind"] for ledger in ledgers.values() for line in ledger} - {"Hello", "Committed", "Done"}
    assert (
        sent
        == {
            "centralized": {"Validated"},
            "local": {"Validated"},
            "fedavg": {"Validated", "Weights"},
            "split": {"Activations", "Sealed"},
            "split_u": {"Activations", "HeadGradient", "Sealed", "Validated"},
            "split_private": {"Activations", "HeadGradient", "Validated"},
            "splitfed_v1": {"Activations", "Weights"},
            "split_parallel": {"Activations", "Gradients"},
            "cyclic": {"Sealed", "Validated"},
            "scaffold": {"Validated", "Weights"},
        }[preset]
    )
    labelled = {line["kind"] for ledger in ledgers.values() for line in ledger if line["labels"]}
    assert labelled == ({"Activations"} if CUTS.get(preset) == ("layer1",) else set())


@pytest.mark.parametrize("preset", ["fedavg", "split_u", "local"])
def test_labels_and_inputs_never_leave_where_they_are_private(preset):
    """Look for them in every array of everything sent, in any order and kind of number."""
    outcomes = federate(a_run(preset, SIZES, cut=CUTS.get(preset, ())), SIZES)[1]
    for party, _, sent, _ in outcomes.values():
        for message in sent:
            for value in (getattr(message, name) for name in message.__struct_fields__):
                for array in value if isinstance(value, tuple) else (value,):
                    if isinstance(array, np.ndarray):
                        assert not is_private(array, party)


def test_the_search_finds_the_labels_of_vanilla_split_learning():
    outcomes = federate(a_run("split", SIZES), SIZES)[1]
    found = [
        is_private(message.labels, party)
        for party, _, sent, _ in outcomes.values()
        for message in sent
        if isinstance(message, Activations) and message.labels is not None
    ]
    assert found
    assert all(found)


def is_private(array, party):
    """Say whether an array is labels (nothing but 0 and 1), or holds a record's inputs."""
    if array.dtype == np.uint8:
        return False  # sealed; its content is looked at in test_seals
    if array.size and np.isin(array, (0, 1)).all() and array.ndim == 1:
        return True
    rows = torch.cat([party.rows.train.inputs, *(each.inputs for each in party.rows.validation)])
    raw = array.tobytes()
    return any(row.numpy().tobytes() in raw for row in rows)


# the ledger outlives its process


def test_a_killed_site_loses_no_line_of_its_ledger(tmp_path):
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from federation import a_run; from sites.gate import Gate\n"
        "from coordinator.protocol.messages import Validated\n"
        "gate = Gate(a_run('local', (3,)), Path(sys.argv[1]))\n"
        "for i in range(3): gate.release(Validated((0, i, 0, -1), 0.0, 1, 0.0, 1), 7)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    paths = f"{ROOT}:{ROOT / 'tests'}"
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "l.jsonl"], env={"PYTHONPATH": paths})
    assert done.returncode == -signal.SIGKILL
    assert len((tmp_path / "l.jsonl").read_text().splitlines()) == 3


def test_a_second_attempt_writes_on_in_the_same_ledger(tmp_path):
    for _ in range(2):
        gate.Gate(a_run("local", SIZES), tmp_path / "l.jsonl").release(Validated(PLACE, 0.0, 1, 0.0, 1), 7)
    assert len((tmp_path / "l.jsonl").read_text().splitlines()) == 2
