"""Connections that say nothing, thousands at once, beside a running study: `make flood CONNECTIONS=10000`.

Prints what rounds took before, under and after the flood, how soon a new peer was heard once it ended, and
the memory of the coordinator. Exit status 1 where a peer had to wait for more than 10 s, or the weights are
others.
"""

import argparse
import json
import resource
import shutil
import socket
import tempfile
import time
from pathlib import Path

from coordinator.protocol.messages import Hello, Refused
from tests.containers.gangs import wait_for
from tests.e2e.tiny_study import TASK, launch, prepare_table
from tests.hostile import SITES, Federation, connected, hung_up, seconds_per_round, session

ROUNDS = 400
SECONDS = 12.0  # of flood: longer than the coordinator waits for a handshake
LATEST = 10.0  # seconds in which a new peer must be heard


def main() -> int:
    """Run one study, and flood it in the middle."""
    parser = argparse.ArgumentParser(prog="python -m tests.flood", description=__doc__)
    parser.add_argument("--connections", type=int, default=10_000)
    wanted = parser.parse_args().connections
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    count = min(wanted, hard - 200)
    if count < wanted:
        print(f"{count} connections, not {wanted}: no process may open more files ({hard})")
    folder = Path(tempfile.mkdtemp(prefix="suture-flood-"))
    more = [f"--set=tasks.{TASK}.training.rounds={ROUNDS}"]
    plan = prepare_table(folder, options=more)
    launch(folder, plan["tasks"][TASK]["agree"]["0"]["spec"], "agree", statistics=None)
    spec, agreed = plan["runs"][f"{TASK}/fedavg/0"]["spec"], folder / "results" / "agree" / "statistics.json"
    launch(folder, spec, "fedavg", statistics=agreed)
    federation = Federation(folder, folder / "flooded", spec, agreed)
    try:
        well = flooded(federation, count, folder / "results" / "fedavg")
    finally:
        federation.close()
    shutil.rmtree(folder)
    return 0 if well else 1


def flooded(federation: Federation, count: int, undisturbed: Path) -> bool:
    """Flood a run; say whether it ended as the undisturbed one and a new peer was heard soon."""
    for party in ("coordinator", *SITES):
        federation.start(party)
    wait_for(lambda: rounds(federation) > 5, 120)
    before, began, opened, first = federation.resident(), time.monotonic(), 0, rounds(federation)
    held: list[socket.socket] = []
    most = 0
    while time.monotonic() < began + SECONDS:
        more = connected(federation.port, count - len(held))
        opened, held = opened + len(more), [*held, *more]
        most = max(most, len(held))
        time.sleep(0.5)
        held = [each for each in held if not hung_up(each, 0)]
    under, last = federation.resident(), rounds(federation)
    for each in held:
        each.close()
    waited = heard_after(federation)
    print(f"{opened} connections in {SECONDS:.0f} s, at most {most} at once")
    print(f"the coordinator: {before} MiB before, {under} MiB at the flood's end")
    print(f"a new peer was heard {waited:.2f} s after the flood's end")
    out = federation.ended_well(600)
    took, alone = seconds_per_round(out), sorted(seconds_per_round(undisturbed)[3:])
    for name, each in (
        ("before and after", took[3:first] + took[last:]),
        ("under the flood", took[first:last]),
    ):
        print(f"rounds {name}: {said(sorted(each))}")
    print(f"rounds undisturbed: {said(alone)}")
    same = (out / "weights.sha256").read_text() == (undisturbed / "weights.sha256").read_text()
    print(
        "the weights are those of an undisturbed run" if same else "OTHER WEIGHTS than an undisturbed run's"
    )
    return same and waited < LATEST


def said(took: list[float]) -> str:
    """Say a median and a maximum."""
    if not took:
        return "none"
    return f"{len(took)}, median {1000 * took[len(took) // 2]:.1f} ms, longest {1000 * took[-1]:.0f} ms"


def heard_after(federation: Federation) -> float:
    """Give the seconds until a peer with an admitted key has been heard and answered."""
    began = time.monotonic()
    with session(federation, "north") as north:
        north.say(Hello("south", north.digest, 0))
        assert isinstance(north.hear(60), Refused)
    return time.monotonic() - began


def rounds(federation: Federation) -> int:
    """Count the rounds so far, over all learning rates."""
    path = federation.place / "coordinator" / "status.json"
    status = json.loads(path.read_text()) if path.exists() else {"trial": 0, "round": 0}
    return int(status["trial"]) * ROUNDS + int(status["round"])


if __name__ == "__main__":
    raise SystemExit(main())
