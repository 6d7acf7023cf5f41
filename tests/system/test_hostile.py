"""Hostile peers against a real coordinator, under a run: none stops it, changes it or fills its memory.

First as `south`, with its right key: every bad message costs that session. Then the real south comes, and
while the run goes on, all that one can do without an admitted key. The weights are the undisturbed ones.
"""

import json
import threading

import numpy as np
import pytest
import zmq
from nacl.public import PrivateKey

from coordinator.algorithms.building import builders_of
from coordinator.algorithms.cohort import Cohort
from coordinator.algorithms.training import floats
from coordinator.models.stages import build
from coordinator.protocol.codec import HEADER_BYTES
from coordinator.protocol.messages import (
    Activations,
    Committed,
    Done,
    Hello,
    Refused,
    Validated,
    Verdict,
    Weights,
)
from coordinator.specs import Run, read
from coordinator.statistics import read_statistics
from tests.containers.gangs import wait_for
from tests.e2e.tiny_study import TASK, launch, prepare_table
from tests.hostile import (
    Federation,
    Tape,
    came_about,
    connected,
    hung_up,
    junk,
    seconds_per_round,
    session,
    slow_loris,
)
from tests.protocol.messages_drawn import framed, header_of

ROUNDS = 40
FLOOD = 300
MEMORY = 160  # MiB that one peer may add to the coordinator's, for a moment
PLACE = (0, 0, 1, -1)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """The ci study's table, agreed on, and the hash of an undisturbed run."""
    folder = tmp_path_factory.mktemp("hostile")
    more = [f"--set=tasks.{TASK}.training.rounds={ROUNDS}", "--set=on_loss.minutes=2"]
    plan = prepare_table(folder, options=more)
    launch(folder, plan["tasks"][TASK]["agree"]["0"]["spec"], "agree", statistics=None)
    spec = plan["runs"][f"{TASK}/fedavg/0"]["spec"]
    agreed = folder / "results" / "agree" / "statistics.json"
    launch(folder, spec, "fedavg", statistics=agreed)
    return folder, spec, agreed


@pytest.fixture(scope="module")
def federation(study, tmp_path_factory):
    """A coordinator and north, who wait for south."""
    found = Federation(study[0], tmp_path_factory.mktemp("run"), *study[1:])
    try:
        found.start("coordinator")
        found.start("north")
        learn(found, study[2])
        with session(found, "south") as first:  # everybody is here once
            first.enter()
        yield found
    finally:
        found.close()


# with an admitted key


def model(federation):
    """Give tensors as an honest site's, by their shapes."""
    return tuple(np.zeros(shape, np.float32) for shape in federation.shapes)


def weights(federation, change=lambda tensors: tensors, place=PLACE):
    return Weights(place, tuple(change(model(federation))), 1)


def twice(session, federation):
    for _ in range(2):
        for frames in framed(weights(federation), session.line.sent + 1):
            session.raw(frames)
    session.raw([b"and then this"])


def ahead(session, federation):
    for _ in range(5000):
        session.say(Validated(PLACE, 0.0, 0, 0.0, 0))
    for step in range(5000):
        session.say(Activations((0, 0, 1, step), np.zeros(60_000, np.float32), None))


def another_commit(session, federation):
    """Take part in a whole round, and then commit another than is due."""
    session.say(weights(federation))
    assert isinstance(session.hear(), Weights)
    session.say(Validated(PLACE, 0.0, 0, 1.0, federation.validation))
    assert isinstance(session.hear(), Verdict)
    session.say(Committed(99, "0" * 64, "0" * 64))


def say(make):
    return lambda session, federation: session.say(make(federation))


def raw(*frames):
    return lambda session, federation: session.raw(list(frames))


BAD = {
    "no header": raw(b"junk"),
    "an empty frame": raw(b""),
    "three frames": raw(b"a", b"b", b"c"),
    "nested deep": raw(b"\x95" * 100_000),
    "a frame of 8 MiB": raw(bytes(8 << 20)),
    "a thousand frames": raw(*[bytes(1024)] * 1000),
    "oversize, announced": raw(header_of([1, 0, 2, 0, ["Weights", PLACE, [["float32", [2**38]]], 1]])),
    "an unknown kind": raw(header_of([1, 0, 2, 0, ["Nonsense", 1]])),
    "a gap": lambda session, federation: [session.raw(f) for f in framed(Validated(PLACE, 0, 1, 0, 1), 9)],
    "a duplicate, then junk": twice,
    "another kind than is due": say(lambda federation: Validated(PLACE, 0.0, 1, 0.0, 1)),
    "another's place": say(lambda federation: weights(federation, place=(0, 0, 0, -1))),
    "another round": say(lambda federation: weights(federation, place=(0, 7, 1, -1))),
    "another dtype": say(lambda federation: weights(federation, lambda t: [x.astype(float) for x in t])),
    "another shape": say(lambda federation: weights(federation, lambda t: [x[:1] for x in t])),
    "too few tensors": say(lambda federation: weights(federation, lambda t: t[:-1])),
    "the end at once": say(lambda federation: Done({"model": "x\n, north, y"}, {})),
    "another commit than is due": another_commit,
    "a commit of nothing": say(lambda federation: Committed(0, "0" * 64, "0" * 64)),
    "Hello again, as north": lambda session, federation: session.say(Hello("north", session.digest, 0)),
    "far more than its turn": ahead,
}


def learn(federation, agreed):
    """Find out what an honest south sends: its tensors' shapes, and how many records it validates."""
    run = read(Run, federation.spec)
    cohort = Cohort.of(read_statistics(agreed), run.sites)
    network = build(builders_of(run, cohort.shape), run.seed)
    federation.shapes = [tuple(value.shape) for value in floats(network)]
    federation.validation = cohort.validation[1]


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_message_costs_an_admitted_site_its_session(federation, bad):
    before = federation.resident()
    with session(federation, "south") as south:
        welcome = south.enter()
        assert welcome.commit == -1
        BAD[bad](south, federation)
        assert south.is_shut_out()
    after = federation.resident()
    print(f"{bad}: the coordinator has {before} MiB before, {after} after")
    assert after < before + MEMORY
    assert federation.running["coordinator"].poll() is None
    assert federation.running["north"].poll() is None


@pytest.mark.parametrize("value", [np.nan, np.inf, -1e38])
def test_numbers_that_are_none_do_not_end_the_run(federation, value):
    with session(federation, "south") as south:
        south.enter()
        south.say(weights(federation, lambda tensors: [x + np.float32(value) for x in tensors]))
        average = south.hear()
        assert isinstance(average, Weights)
        south.say(Validated(PLACE, float("nan"), 1, float("inf"), 2**40))
        assert south.is_shut_out()  # it counts other records than were agreed on
    assert federation.running["coordinator"].poll() is None


def test_an_old_generation_s_messages_are_void(federation):
    with session(federation, "south") as south:
        south.enter()
        generation = south.line.generation
        assert generation > 1
        south.line.generation = 1
        south.say(weights(federation))
        assert south.hear(1) is None  # neither taken nor a reason to go back
        south.line.generation = generation
        south.say(weights(federation))
        assert isinstance(south.hear(), Weights)
        assert isinstance(south.raw([b"x"]) or south.hear(), Refused)


# the real south, and everybody else


def test_outsiders_neither_stop_nor_change_a_run(federation, study):
    interruptions = federation.place / "coordinator" / "interruptions.jsonl"
    tape = Tape(federation.port)
    before, went_back = federation.resident(), len(interruptions.read_text().splitlines())
    federation.start("south", tape.endpoint)
    wait_for(lambda: rounds_of(federation) > 1, 120)
    idle, found = connected(federation.port, FLOOD), {}
    outside = [threading.Thread(target=note, args=(found, name, federation, tape)) for name in OUTSIDE]
    for each in outside:
        each.start()
    for each in outside:
        each.join(60)
    there = [each for each in idle if came_about(each)]
    under_attack = federation.running["coordinator"].poll() is None
    after = federation.resident() if under_attack else before
    results = federation.ended_well()
    print(f"the coordinator has {before} MiB before, {after} after; {timed(results, study)}")
    assert under_attack, "the run was over before the last had tried: give it more rounds"
    assert found == dict.fromkeys(OUTSIDE, True)
    assert len(there) > FLOOD // 2, len(there)
    assert all(hung_up(each) for each in there)
    assert after < before + MEMORY
    hashes = [each / "weights.sha256" for each in (results, study[0] / "results" / "fedavg")]
    assert hashes[0].read_text() == hashes[1].read_text()
    assert len(interruptions.read_text().splitlines()) == went_back + 1  # the real south's coming, none since


def no_key(federation, tape):
    """Connect without CURVE."""
    context = zmq.Context()
    plain = context.socket(zmq.DEALER)
    plain.linger = 0
    plain.connect(federation.endpoint)
    plain.send(framed(Hello("south", "s", 0))[0][0])
    heard = plain.poll(2000)
    context.destroy(linger=0)
    return not heard


def not_let_in(federation, **keys):
    with session(federation, "south", **keys) as stranger:
        stranger.say(Hello("south", stranger.digest, 0))
        wait_for(lambda: stranger.dealer.receive(0.1) or stranger.dealer.refusals)
        return stranger.dealer.refusals > 0 and not stranger.line.seen


def wrong_key(federation, tape):
    """Have a key pair that was never admitted."""
    own = PrivateKey.generate()
    return not_let_in(federation, secret=bytes(own), public=bytes(own.public_key))


def anothers_public_key(federation, tape):
    """Show an admitted site's public key, which is no secret, without its secret one."""
    return not_let_in(federation, secret=bytes(PrivateKey.generate()))


def anothers_name(federation, tape):
    """Say to be south, with north's right key."""
    with session(federation, "north") as north:
        north.say(Hello("south", north.digest, 0))
        heard = north.hear()
        return isinstance(heard, Refused) and "'north' says it is 'south'" in heard.reason


def a_long_name(federation, tape):
    """Have a name so long that to repeat it would be too long for an answer."""
    with session(federation, "north") as north:
        north.say(Hello("x" * (HEADER_BYTES - 200), north.digest, 0))
        return isinstance(north.hear(), Refused)


def second_connection(federation, tape):
    """Speak for south, with its right key and in its place, beside it and without a Hello."""
    with session(federation, "south") as second:
        second.line.generation = 10**6
        for _ in range(100):
            second.say(Validated(PLACE, 0.0, 0, 0.0, 0))
        return second.hear(1) is None


def replayed(federation, tape):
    """Say byte by byte what south said when it entered."""
    wait_for(lambda: len(tape.up) >= 4096)
    answer = tape.replay()
    return len(answer) < 1024  # greeting and welcome; nothing of the study


def junk_connections(federation, tape):
    return all(junk(federation.port) is None for _ in range(20))


def slow(federation, tape):
    return slow_loris(federation.port, 30)


OUTSIDE = {
    each.__name__: each
    for each in (
        no_key, wrong_key, anothers_public_key, anothers_name, a_long_name, second_connection,
        replayed, junk_connections, slow,
    )
}  # fmt: skip


def note(found, name, federation, tape):
    found[name] = OUTSIDE[name](federation, tape)


def rounds_of(federation):
    return json.loads((federation.place / "coordinator" / "status.json").read_text())["round"]


def timed(results, study):
    """Say how long rounds took, and how long they take undisturbed."""
    found = {"under attack": results, "undisturbed": study[0] / "results" / "fedavg"}
    took = {name: sorted(seconds_per_round(out)[3:]) for name, out in found.items()}
    words = [f"{name} {1000 * s[len(s) // 2]:.0f} ms, at most {1000 * s[-1]:.0f}" for name, s in took.items()]
    return f"a round takes {'; '.join(words)}"
