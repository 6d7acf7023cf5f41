"""``python -m containers launch``: one gang from its keys to its results."""

import argparse
import os
import subprocess
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from containers.attempt import clear, forget_commits, next_attempt
from containers.errors import ConfigError
from containers.follow import Ending, Progress, follow
from containers.gang import Gang, read_gang
from containers.images.furnishing import digests
from containers.lifetime import die_with_parent, hold
from containers.outcome import Outcome, earliest, outcome
from containers.parties import PROGRAMS, Meeting, keys
from containers.progress import clock
from containers.report import failure, lingering
from containers.restarting import Restarting
from containers.results import collect
from containers.runtime_folder import bases, runtime_folder
from containers.runtimes import RUNTIMES, add_runtime, choose
from containers.starting import Starting, sharing, start_coordinator, start_sites
from containers.terminal import Voice, display
from containers.watch import Watch

KEYS_SECONDS = 60.0
GATES_OUTSIDE = "; gate: outside, a process apart from what trains"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add = parser.add_argument
    add("--spec", type=Path, required=True, metavar="FILE", help="what to do, as the plan wrote it")
    add("--statistics", type=Path, metavar="FILE", help="what the agreement found (training needs it)")
    add("--state", type=Path, required=True, metavar="FOLDER", help="where each party keeps its own")
    add("--results", type=Path, required=True, metavar="FOLDER", help="replaced when all has gone well")
    add_runtime(parser)
    add("--tcp", action="store_true", help="meet over TCP on this machine, not over a local socket")
    add("--log", type=Path, metavar="FILE", help="write what is said on standard error there as well")
    add("--parent", type=int, metavar="PID", help="leave if this process is not the parent (a shell's $PPID)")


def run(options: argparse.Namespace, programs: Mapping[str, tuple[str, ...]] = PROGRAMS) -> int:
    """Launch; returns 0, the culprit's exit status, or 128 + n where signal n ended it.

    Raises:
        ConfigError: bad input, which the log gets too.
    """
    if not hasattr(os, "pidfd_open"):
        raise ConfigError("launching watches processes through Linux's pidfd (5.3 or newer), missing here")
    die_with_parent(options.parent)
    voice = Voice(options.log)
    try:
        gang = read_gang(options.spec, options.statistics, options.state, options.results)
        return launch(gang, Setting(choose(options.runtime), options.tcp, voice, programs))
    except ConfigError as error:
        voice.note(str(error))
        raise


@dataclass(frozen=True)
class Setting:
    """How a gang is launched; ``programs`` says how each program's command line begins."""

    runtime: str = "host"
    tcp: bool = False
    voice: Voice = field(default_factory=Voice)
    programs: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: PROGRAMS)  # tests start others

    @property
    def isolation(self) -> str:
        """Say in which walls the parties run."""
        walls = RUNTIMES[self.runtime].ISOLATION
        opened = self.tcp and not walls.startswith("none")
        return f"{walls}; over TCP, the host's network is in sight" if opened else walls


def isolation(gang: Gang, setting: Setting) -> str:
    """Say in which walls a gang's parties run, and if their gates are processes of their own."""
    return f"{setting.isolation}{GATES_OUTSIDE if gang.gates else ''}"


def launch(gang: Gang, setting: Setting) -> int:
    """Run a gang to its end, whatever that is.

    Raises:
        ConfigError: the gang cannot be started here, or what it handed over cannot be collected.
    """
    began, held = time.monotonic(), hold(gang.state)
    try:
        with Watch() as watch:
            ending = see_through(gang, setting, watch, held)
            watch.leave_nobody()
            return conclude(gang, setting, watch, ending, time.monotonic() - began)
    finally:
        os.close(held)


def see_through(gang: Gang, setting: Setting, watch: Watch, held: int) -> Ending:
    """Start everybody and watch until nobody is left; the runtime folder lives exactly so long."""
    clear(gang)
    runtime = RUNTIMES[setting.runtime]
    with runtime_folder(bases()) as folder:
        meeting = Meeting(folder, setting.tcp)
        make_keys(gang, meeting, setting)
        if watch.stopped_by:
            return Ending("stopped")
        starting = Starting(gang, runtime, meeting, setting.programs, held, next_attempt(gang))
        setting.voice.say(
            f"{gang.name}: starting {', '.join(gang.parties)} (isolation: {isolation(gang, setting)})"
        )
        with sharing(starting) or nullcontext() as server, display(setting.voice) as shown:
            progress = Progress(gang.name, shown, setting.voice, gang.state / "events.jsonl")
            start_coordinator(starting, watch, server, progress)
            start_sites(starting, watch, server)
            restarting = Restarting(starting, watch, server, progress, setting.voice)
            return follow(gang, watch, progress, setting.voice, revive=restarting.revive)


def make_keys(gang: Gang, meeting: Meeting, setting: Setting) -> None:
    """Write fresh keys for each party into the runtime folder.

    Raises:
        ConfigError: the program that makes them failed.
    """
    sandbox = keys(gang, meeting, setting.programs)
    try:
        made = subprocess.run(
            RUNTIMES[setting.runtime].argv(sandbox), env=dict(sandbox.environment), stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=KEYS_SECONDS, start_new_session=True, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError(f"{gang.name}: no keys could be made ({error}); check the environment") from None
    if made.returncode != 0:
        words = made.stderr.strip().splitlines() or ["it said nothing"]
        raise ConfigError(f"{gang.name}: no keys could be made (exit status {made.returncode}): {words[-1]}")


def conclude(gang: Gang, setting: Setting, watch: Watch, ending: Ending, seconds: float) -> int:
    """Write down how each party ended; hand over the results, or say what went wrong."""
    outcomes = [outcome(member, gang.state / member.party) for member in watch.members]
    say, culprit = setting.voice.say, earliest(outcomes)
    if ending.why == "stopped" and watch.stopped_by:
        say(f"{gang.name}: stopped by {watch.stopped_by.name}; every party has left, nothing was handed over")
        return 128 + watch.stopped_by
    if ending.why == "lingered":
        say(lingering(gang, ending.stayed))
        return 1
    if culprit:
        say(blame(gang, culprit, outcomes, watch))
        return culprit.code
    if len(watch.members) < (2 if gang.goes_on else len(gang.parties)):
        say(f"{gang.name}: failed, because the coordinator left before the sites could start; see its log")
        return 1
    images = digests(RUNTIMES[setting.runtime].IMAGES)
    walls = {"runtime": setting.runtime, "isolation": isolation(gang, setting)}
    collect(gang, {**walls, "images": images} if images else walls)
    forget_commits(gang)
    say(f"{gang.name}: done in {clock(seconds)}; results in {gang.results}")
    return 0


def blame(gang: Gang, culprit: Outcome, outcomes: list[Outcome], watch: Watch) -> str:
    """Report the earliest cause, with the end of that party's log."""
    log = next(member.log for member in watch.members if member.party == culprit.party)
    return failure(gang, culprit, [found for found in outcomes if found is not culprit], log)
