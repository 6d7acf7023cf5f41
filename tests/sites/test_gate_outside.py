"""A gate outside the process that trains: the same results, and nothing leaves that it did not let."""

import json
import select
import socket
import threading
from contextlib import ExitStack
from dataclasses import asdict
from types import SimpleNamespace

import federation
import numpy as np
import pytest
from federation import a_run, federate
from nacl.public import PrivateKey
from nacl.signing import SigningKey

from coordinator.config import Limits, Policy
from coordinator.errors import ConfigError, PeerLost, ProtocolError
from coordinator.protocol.codec import CHUNK_BYTES, Envelope, encode
from coordinator.protocol.inproc import Hub
from coordinator.protocol.keys import COORDINATOR, Identity, Secret
from coordinator.protocol.messages import (
    Activations,
    Bye,
    Committed,
    CutGradient,
    Done,
    Hello,
    Resumed,
    Sealed,
    Weights,
    Welcome,
)
from coordinator.protocol.seals import Purpose, Sealer
from coordinator.protocol.signing import COMMITTED, Signer
from coordinator.specs import digest, run_digest
from sites.client import check
from sites.far_gate import COMMIT, FarGate
from sites.gate import Gate
from sites.gatekeeping import let_through, listening
from sites.ledger import verified
from sites.passage import Passage
from sites.pipe import FRAMES, Pipe
from tests.algorithms.test_exactness import tensors
from tests.sites.test_gate import AGREEMENT, CUTS, PLACE, SIZES, X, Y

RUN = a_run("split", SIZES)
SPEC = run_digest(RUN)
PRESETS = ("split", "split_u", "splitfed_v1", "split_parallel", "fedavg", "cyclic", "local")


def secrets(*names):
    """Make keys; gives each one's secret and the manifest."""
    made = {name: (PrivateKey.generate(), PrivateKey.generate()) for name in names}
    manifest = {
        name: Identity(*(bytes(key.public_key) for key in keys), bytes(32)) for name, keys in made.items()
    }
    return {name: Secret(*map(bytes, keys)) for name, keys in made.items()}, manifest


class Outside:
    """A passage of site0, what it let out and what came back."""

    def __init__(self, folder, run=RUN, policy=None, visits=None):
        keys, manifest = secrets("site0", "site1", COORDINATOR)
        self.ledger = folder / "ledger.jsonl"
        self.sealers = {name: Sealer(key, manifest) for name, key in keys.items()}
        self.passage = Passage(
            Gate(run, self.ledger, policy, visits), "site0", run, self.sealers["site0"], visits
        )
        self.join()

    def join(self):
        self.out, self.back = [], []
        self.passage.join(self.out.append, self.back.append)

    def up(self, number, message, acknowledged=0):
        for frames in encode(Envelope(0, 0, number, acknowledged, message)):
            self.passage.up(frames)

    def down(self, number, message, acknowledged=0):
        for frames in encode(Envelope(0, 0, number, acknowledged, message)):
            self.passage.down(frames)

    def kinds(self):
        return list(verified(self.ledger)[0][-1].messages)


@pytest.fixture
def outside(tmp_path):
    found = Outside(tmp_path)
    found.up(1, Hello("site0", SPEC, 0, {}, 7))
    return found


# the same results


class Near:
    """What is a dealer to a gate, between threads."""

    refusals = connections_lost = 0

    def __init__(self, spoke):
        self.spoke, self.send, self.close = spoke, spoke.send, spoke.close

    def heard(self, seconds, also):
        poll = select.poll()
        poll.register(also, select.POLLIN)
        while not self.spoke._down.qsize():
            if poll.poll(1):
                return False
        return True

    def receive(self, seconds):
        return self.spoke.receive(seconds)


@pytest.fixture
def gates_outside(monkeypatch, tmp_path):
    """Let a federation's sites speak through gates behind local sockets, which seal for them."""
    real, last, ledgers = Hub.spoke, {}, {}

    def sealer(secret, manifest):
        last["sealer"], last["late"] = Sealer(secret, manifest), SimpleNamespace()
        return last["late"]

    with ExitStack() as stack:

        def spoke(hub, site):
            door = stack.enter_context(listening(tmp_path / f"{site}.ipc"))
            ledgers[site] = tmp_path / f"{site}.jsonl"
            passage = Passage(Gate(last["run"], ledgers[site]), site, last["run"], last["sealer"])
            passage._spec = "s"  # what a federation's parties say
            far = FarGate(tmp_path / f"{site}.ipc")
            last["late"].seal, last["late"].open = far.seal, far.open
            pipe = Pipe(door.accept()[0], 1 << 30)
            through = (pipe, Near(real(hub, site)), passage)
            threading.Thread(target=let_through, args=through, daemon=True).start()
            return far

        monkeypatch.setattr(Hub, "spoke", spoke)
        monkeypatch.setattr(federation, "Sealer", sealer)
        yield last, ledgers


def tensors_of(party):
    """Give every bit of a party's parts and optimizers, by name."""
    return {name: value.numpy().tobytes() for name, value in tensors(party).items()}


@pytest.mark.parametrize("preset", PRESETS)
def test_all_ends_with_the_same_bits(preset, gates_outside, monkeypatch, one_thread):
    run = a_run(preset, SIZES, cut=CUTS.get(preset, ("layer1",)))
    gates_outside[0]["run"] = run
    party, outcomes, channel = federate(run, SIZES)
    ledgers = gates_outside[1]
    monkeypatch.undo()
    reference, others, counted = federate(run, SIZES)
    assert tensors_of(party) == tensors_of(reference)
    for name, (other, logits, sent, _) in others.items():
        assert tensors_of(outcomes[name][0]) == tensors_of(other)
        assert all(map(np.array_equal, logits, outcomes[name][1]))
        (session,) = verified(ledgers[name])[0]
        assert session.messages == {
            kind: sum(type(each).__name__ == kind for each in sent) for kind in session.messages
        }
        assert sum(session.messages.values()) == len(sent)
    assert channel.lines.counted() == counted.lines.counted()


# what may not leave


def test_a_message_waits_until_it_is_whole_and_stands_in_the_ledger_before_it_leaves(outside):
    big = np.zeros((40, CHUNK_BYTES // 40), np.float32)
    pairs = list(encode(Envelope(0, 0, 2, 0, Activations(PLACE, big, None))))
    assert len(pairs) > 2
    for frames in pairs[:-1]:
        outside.passage.up(frames)
    assert len(outside.out) == 1  # the Hello
    assert outside.kinds() == ["Hello"]
    outside.passage.up(pairs[-1])
    assert outside.out[1:] == pairs
    (session,) = verified(outside.ledger)[0]
    assert session.messages["Activations"] == 1
    assert session.sizes["Activations"] == sum(len(part) for pair in pairs for part in pair)


def test_what_the_way_to_train_does_not_release_does_not_leave(outside):
    with pytest.raises(ConfigError, match="refused Weights: 'split' does not release it"):
        outside.up(2, Weights(PLACE, (X,), 2))
    assert len(outside.out) == 1
    assert outside.kinds() == ["Hello"]


def test_a_policy_holds(tmp_path):
    policy = Policy(releases=("activations", "metrics"), limits=Limits(bytes=1000))
    outside = Outside(tmp_path, policy=policy)
    outside.up(1, Hello("site0", SPEC, 0, {}, 7))
    with pytest.raises(ConfigError, match="do not list labels"):
        outside.up(2, Activations(PLACE, X, Y))
    with pytest.raises(ConfigError, match="this run's bytes would be"):
        outside.up(2, Activations(PLACE, np.zeros((2, 500), np.float32), None))


class Batches:
    """Counts as `sites.visits` does: two records everywhere."""

    def after(self, place):
        return 1

    def add(self, place):
        pass

    def count(self, place):
        return 2


@pytest.mark.parametrize("arrays", [(np.zeros((3, 3), np.float32), Y), (X, np.zeros(3, np.float32))])
def test_more_rows_than_the_batch_has_do_not_leave(tmp_path, arrays):
    outside = Outside(tmp_path, visits=Batches())
    outside.up(1, Hello("site0", SPEC, 0, {}, 7))
    outside.up(2, Activations(PLACE, X, Y))
    with pytest.raises(ConfigError, match="has 2 records, and more were to leave"):
        outside.up(3, Activations(PLACE, *arrays))
    assert len(outside.out) == 2


def test_only_what_was_sealed_here_leaves_sealed(outside):
    purpose = Purpose(digest(RUN), PLACE, "site0", "site1")
    far = SimpleNamespace(seal=lambda content: outside.passage.answer(b"S", [said(purpose), content])[0])
    box = np.frombuffer(far.seal(b"parts"), np.uint8)
    outside.up(2, Sealed(PLACE, "site0", "site1", box))
    assert outside.sealers["site1"].open(purpose, bytes(box)) == b"parts"
    with pytest.raises(ConfigError, match="it was not sealed here"):
        outside.up(3, Sealed(PLACE, "site0", "site1", np.frombuffer(b"a record", np.uint8)))
    theirs = Purpose(digest(RUN), PLACE, "site1", "site0")
    got = outside.sealers["site1"].seal(theirs, b"back")
    assert outside.passage.answer(b"O", [said(theirs), got]) == [b"back"]
    for wrong in (theirs, Purpose("another run", PLACE, "site0", "site1")):
        with pytest.raises(ProtocolError, match="of another site or spec"):
            outside.passage.answer(b"S", [said(wrong), b"parts"])


def said(purpose):
    return json.dumps(asdict(purpose)).encode()


WRONG = {
    "another site": Hello("site1", SPEC, 0),
    "another spec": Hello("site0", "0" * 64, 0),
    "no hash of a commit": Hello("site0", SPEC, 0, {1: "a record"}),
    "many commits": Hello("site0", SPEC, 0, dict.fromkeys(range(5), "0" * 64)),
    "no hash of a state": Committed(1, "a record", "0" * 64),
    "no signature": Committed(1, "0" * 64, "0" * 64, "a record"),
    "no name of a part": Done({"a record: 1": "0" * 64}, {}),
    "no hash of a part": Done({"front": "a record"}, {}),
    "many costs": Done({}, {str(number): 0.0 for number in range(513)}),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_conversation_s_own_messages_carry_nothing_else(outside, name):
    with pytest.raises(ConfigError, match="it holds what none should"):
        outside.up(2, WRONG[name])
    assert len(outside.out) == 1


# once more


def test_once_more_is_as_it_was_and_counts_as_such(outside):
    outside.up(2, Activations(PLACE, X, Y))
    outside.join()
    outside.up(1, Hello("site0", SPEC, 1, {}, 7))
    outside.up(2, Activations(PLACE, X, Y))
    assert len(outside.out) == 2
    assert outside.kinds() == ["Hello", "Activations", "Hello (resent)", "Activations (resent)"]
    with pytest.raises(ConfigError, match="it is not what it was"):
        outside.up(2, Activations(PLACE, X + 1, Y))
    with pytest.raises(ProtocolError, match="message 4 after 2"):
        outside.up(4, Activations(PLACE, X, Y))


def test_what_the_coordinator_has_is_not_sent_again(outside):
    outside.up(2, Activations(PLACE, X, Y))
    outside.down(1, Welcome((40, 20, 9)), acknowledged=2)
    with pytest.raises(ConfigError, match="it is not what it was"):
        outside.up(2, Activations(PLACE, X, Y))


def test_a_gate_that_knows_nothing_of_a_conversation_says_so_itself(tmp_path):
    outside = Outside(tmp_path)
    outside.up(1, Hello("site0", SPEC, 5, {}, 7))
    assert outside.out == []
    assert outside.back == list(encode(Envelope(0, 0, 1, 1, Resumed(-1))))
    outside.up(1, Hello("site0", SPEC, 0, {}, 7))
    assert len(outside.out) == 1


# what comes down, and what is asked


def test_what_a_policy_does_not_take_does_not_come_down(tmp_path):
    policy = Policy(releases=("activations", "labels"), largest_gradient=1.0)
    outside = Outside(tmp_path, policy=policy)
    outside.down(1, CutGradient(PLACE, X))
    with pytest.raises(ProtocolError, match="takes gradients up to 1"):
        outside.down(2, CutGradient(PLACE, X + 5))
    assert len(outside.back) == 1
    outside.down(3, Bye())
    assert outside.passage.over


def test_a_commit_s_head_is_signed_where_the_keys_are(tmp_path):
    keys, manifest = signing("site0", COORDINATOR)
    outside = Outside(tmp_path)
    signer = Signer("site0", keys["site0"], lambda: manifest, SPEC)
    outside.passage._gate = Gate(RUN, outside.ledger, None, None, signer)
    outside.up(1, Hello("site0", SPEC, 0, {}, 7))
    head, signature = outside.passage.answer(COMMIT, [b"3"])
    assert head.decode() == verified(outside.ledger)[1]
    signer.check("site0", signature.decode(), COMMITTED, "site0", 3, head.decode())
    for parts in ([b"three"], [], [b"\xff"]):
        with pytest.raises(ProtocolError, match="asked of the gate"):
            outside.passage.answer(COMMIT, parts)
    with pytest.raises(ProtocolError, match="does not do"):
        outside.passage.answer(b"X", [])


def signing(*names):
    keys = {name: SigningKey.generate() for name in names}
    manifest = {n: Identity(bytes(32), bytes(32), bytes(key.verify_key)) for n, key in keys.items()}
    return {name: Secret(bytes(32), bytes(32), bytes(key)) for name, key in keys.items()}, manifest


# the socket between


def ends(most=1 << 30):
    return [Pipe(each, most) for each in socket.socketpair()]


def test_both_ends_may_write_much_at_once():
    big, got = bytes(1 << 24), []

    def talk(pipe):
        pipe.send(FRAMES, b"head", big)
        while not (item := pipe.next()):
            pipe.wait(1.0)
        got.append(item)

    pipes = ends()
    threads = [threading.Thread(target=talk, args=(pipe,), daemon=True) for pipe in pipes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert got == [(FRAMES, [b"head", big])] * 2


@pytest.mark.parametrize(
    "wrong", [b"F\xff" + bytes(9 * 255), b"F\x01" + (1 << 40).to_bytes(8, "big")], ids=["parts", "bytes"]
)
def test_what_is_no_item_is_refused_before_it_is_read(wrong):
    mine, theirs = socket.socketpair()
    pipe = Pipe(mine, 1 << 20)
    theirs.sendall(wrong)
    with pytest.raises(ProtocolError, match="at the gate's socket"):
        pipe.next()


def test_an_end_that_is_gone_is_noticed_after_what_it_said():
    mine, theirs = ends()
    theirs.send(FRAMES, b"last")
    theirs.close()
    assert mine.next() == (FRAMES, [b"last"])
    assert mine.next() is None
    assert mine.ended
    mine.send(FRAMES, b"into nothing")


def test_without_a_gate_a_training_process_tries_again_and_asks_in_vain(tmp_path):
    far = FarGate(tmp_path / "none.ipc")
    assert far.connections_lost == 1
    assert far.receive(0.01) is None
    with pytest.raises(PeerLost, match="gate ended"):
        far.committed(0, "0" * 64)


# by hand


def options(**given):
    nothing = dict.fromkeys(("secret", "manifest", "endpoint", "policy", "gate"))
    return SimpleNamespace(**{**nothing, **given})


KEYS = {"secret": "s", "manifest": "m", "endpoint": "e"}


@pytest.mark.parametrize(
    ("given", "gate", "said"),
    [
        (dict(KEYS, gate="g"), "inside", "--secret, --manifest, --endpoint: what the gate outside holds"),
        ({"gate": "g", "policy": "p"}, "inside", "--policy: what the gate outside holds"),
        ({"secret": "s"}, "inside", "--manifest, --endpoint: missing"),
        (dict(KEYS, policy="p"), "outside", "gate: outside, so training has no key"),
    ],
)
def test_options_that_do_not_go_together_are_refused(given, gate, said):
    policy = Policy(releases=(), gate=gate) if "policy" in given else None
    with pytest.raises(ConfigError, match=said):
        check(options(**given), policy)


def test_an_agreement_goes_through_it_too(tmp_path):
    outside = Outside(tmp_path, run=AGREEMENT)
    outside.up(1, Hello("site0", digest(AGREEMENT), 0))
    with pytest.raises(ConfigError, match="'agreement' does not release it"):
        outside.up(2, Activations(PLACE, X, None))
