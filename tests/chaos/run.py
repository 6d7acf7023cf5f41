"""Runs plans, and says of each whether the run ended as its policy says; exit status 1 if one did not."""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections import deque
from contextlib import suppress
from pathlib import Path

from containers.runtimes import bubblewrap
from coordinator.presets import PRESETS
from coordinator.server.committing import INTERRUPTIONS
from sites.ledger import released, verified
from tests.chaos.parties import Parties, disk_of
from tests.chaos.plans import PARTIES, SITES, Plan, draw
from tests.e2e.tiny_study import TASK, launch, prepare_table, run_command

LONGEST_SECONDS = 300.0
DISK_BYTES = 16 * 2**20
CUTS = ("cut", "half_close", "delay")  # what needs no rollback
POOL = "centralized"  # one client, which is neither hospital
STRATEGIES = tuple(name for name in PRESETS if name != POOL)
OPTIONS = (
    f"tasks.{TASK}.training.rounds=6",
    *(f"tasks.{task}.training.{key}" for task in (TASK, "pneumonia") for key in (
        "optimizer=sgd", "learning_rates=[0.1, 0.03]",  # which every strategy takes
    )),
    "commit_steps=5",
)  # fmt: skip
POLICIES = {
    "abort": ("on_loss.policy=abort",),
    "wait": ("on_loss.policy=wait", "on_loss.minutes=2"),
    "continue": ("on_loss.policy=continue", "on_loss.minutes=0.1", "on_loss.at_least=1"),
}
LEAVING_SECONDS = 10.0  # what sites may take to leave once a coordinator is done that goes on without them
# what is defined for plain SGD alone wants to be told so
PLAIN = "{training: {optimizer: sgd, learning_rates: [0.1, 0.03]}}"
SETTINGS = {"scaffold": PLAIN, "fednova": PLAIN}
PRESETS_OF = {name: f", {settings[1:-1]}" for name, settings in SETTINGS.items()}


class Broken(Exception):
    """A run did not end as it should."""


class Study:
    """A tiny study, prepared and agreed on, and what each strategy's undisturbed run ends with."""

    def __init__(self, folder: Path, strategies: tuple[str, ...]) -> None:
        """Prepare, and run every strategy once."""
        self.folder, self.specs = folder, {}
        more = [f"--set={option}" for option in OPTIONS]
        self._options, self._strategies = more, strategies
        for policy, settings in POLICIES.items():
            options = [*more, *(f"--set={setting}" for setting in settings)]
            plan = prepare_table(folder, *strategies, options=options, settings=SETTINGS)
            for name in strategies:
                self.specs[name, policy] = plan["runs"][f"{TASK}/{name}/0"]["spec"]
        launch(folder, plan["tasks"][TASK]["agree"]["0"]["spec"], "agree", statistics=None)
        self.statistics = folder / "results" / "agree" / "statistics.json"
        self.hashes, self.sent = {}, {}
        self.replayed = 0
        for name in self._strategies:
            launch(folder, self.specs[name, "wait"], name, statistics=self.statistics)
            results = folder / "results" / name
            self.hashes[name] = (results / "weights.sha256").read_text()
            costs = json.loads((results / "costs.json").read_text())
            self.sent[name] = {site: costs[site]["bytes_up"] for site in SITES}

    def carry_out(self, plan: Plan) -> int:
        """Do what a plan says; give how often a party was started again.

        Raises:
            Broken: the run did not end, or not as an undisturbed one.
        """
        place = self.folder / f"plan-{plan.number}"
        spec = self.specs[plan.strategy, plan.policy]
        parties = Parties(self.folder, place, spec, self.statistics)
        try:
            for party in PARTIES:
                parties.start(party)
            times = self._see_through(plan, parties)
            self._check(plan, place)
        finally:
            parties.close()
        shutil.rmtree(place)
        return times

    def _see_through(self, plan: Plan, parties: Parties) -> int:
        faults, began, times = deque(plan.faults), time.monotonic(), 0
        while not over(plan, parties):
            due = faults[0] if faults else None
            if due and parties.proxies[due.site].up >= due.share * self.sent[plan.strategy][due.site]:
                parties.harm(faults.popleft())
            for party in parties.to_start():
                parties.start(party)
                times += 1
            if time.monotonic() > began + LONGEST_SECONDS:
                raise Broken(f"not ended after {LONGEST_SECONDS:.0f} s; {logs(parties)}")
            time.sleep(0.02)
        return times

    def _check(self, plan: Plan, place: Path) -> None:
        out = place / "coordinator" / "out"
        expected = self._expected(plan, out)
        if (out / "weights.sha256").read_text() != expected:
            raise Broken("other weights than the undisturbed run's")
        if all(fault.kind in CUTS for fault in plan.faults) and (out / INTERRUPTIONS).read_bytes():
            raise Broken("it went back to a commit, though nothing but connections broke")
        costs = json.loads((out / "costs.json").read_text())
        for site in [each for each in SITES if each in costs]:
            ledger = place / site / "ledger.jsonl"
            verified(ledger)
            run_command(
                self.folder,
                "sites",
                "ledger",
                "verify",
                ledger,
                "--costs",
                out / "costs.json",
                "--site",
                site,
            )
            if released(ledger) > costs[site]["bytes_up"]:
                raise Broken(f"{site}: the ledger holds more than was sent")

    def _expected(self, plan: Plan, out: Path) -> str:
        """Give the hash of the undisturbed run, or of the replay of who took part."""
        if '"away"' not in (out / "participation.jsonl").read_text():
            return self.hashes[plan.strategy]
        label, spec = f"replay_{plan.number}", PRESETS_OF.get(plan.strategy, "")
        who = f"tasks: [{TASK}], participation: {out / 'participation.jsonl'}"
        settings = {label: f"{{preset: {plan.strategy}, {who}{spec}}}"}
        planned = prepare_table(self.folder, label, options=self._options, settings=settings)
        launch(self.folder, planned["runs"][f"{TASK}/{label}/0"]["spec"], label, statistics=self.statistics)
        self.replayed += 1
        return (self.folder / "results" / label / "weights.sha256").read_text()


def over(plan: Plan, parties: Parties) -> bool:
    """Say whether a run has ended; one that goes on without a site does not wait for it at its end either."""
    if plan.policy != "continue":
        return parties.ended() == list(PARTIES) and all_well(parties)
    if parties.running["coordinator"].poll() != 0:
        return False
    for process in parties.running.values():
        with suppress(subprocess.TimeoutExpired):
            process.wait(LEAVING_SECONDS)
    return True


def all_well(parties: Parties) -> bool:
    """Say whether every party ended by itself, with status 0."""
    return all(process.poll() == 0 for process in parties.running.values())


def logs(parties: Parties) -> str:
    """Give the end of everybody's log."""
    found = {party: (parties.place / f"{party}.txt").read_text().splitlines()[-3:] for party in PARTIES}
    return json.dumps({"ended": parties.ended(), **found}, indent=1)


def main() -> int:
    """Run the plans and print how each ended."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.run", description=__doc__)
    parser.add_argument("--plans", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, nargs="+", help="replay these plans alone")
    parser.add_argument("--folder", type=Path, help="where the parties' small disks are mounted already")
    options = parser.parse_args()
    numbers, folder, broken = options.only or range(options.plans), options.folder, 0
    if folder is None:
        return with_disks(Path(tempfile.mkdtemp(prefix="suture-chaos-")))
    plans = [draw(options.seed, number, STRATEGIES) for number in numbers]
    study = Study(folder, tuple(dict.fromkeys(plan.strategy for plan in plans)))
    for plan in plans:
        began = time.monotonic()
        try:
            times = study.carry_out(plan)
            print(f"ok     {plan.words()} ({times} restarts, {time.monotonic() - began:.0f} s)", flush=True)
        except (Broken, AssertionError, OSError) as error:
            broken += 1
            print(f"BROKEN {plan.words()}: {error}", flush=True)
    print(f"{len(plans) - broken} of {len(plans)} plans ended as their policy says; seed {options.seed}")
    print(f"{study.replayed} of them went on without a site, and were replayed")
    return 1 if broken else 0


def with_disks(folder: Path) -> int:
    """Do all this once more in a mount namespace with a small disk for each party, which can be filled."""
    if found := bubblewrap.problem():
        print(f"plans fill disks: {found}")
        return 1
    disks = [disk_of(folder, party) for party in PARTIES]
    for disk in disks:
        disk.mkdir(parents=True)
    mounts = [word for disk in disks for word in ("--size", str(DISK_BYTES), "--tmpfs", str(disk))]
    own = [sys.executable, "-m", "tests.chaos.run", *sys.argv[1:], "--folder", str(folder)]
    done = subprocess.run(["bwrap", "--dev-bind", "/", "/", *mounts, "--die-with-parent", "--", *own])
    if not done.returncode:
        shutil.rmtree(folder)
    return done.returncode


if __name__ == "__main__":
    raise SystemExit(main())
