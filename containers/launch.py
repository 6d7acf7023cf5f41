"""``python -m containers launch``: one gang from its keys to its results."""

import argparse
import os
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from containers.attempt import clear, next_attempt
from containers.errors import ConfigError
from containers.follow import Ending, follow, show_progress
from containers.gang import Gang, read_gang
from containers.lifetime import die_with_parent, hold
from containers.outcome import Outcome, earliest, outcome
from containers.parties import PROGRAMS, Meeting, keys
from containers.progress import clock
from containers.report import failure, lingering
from containers.results import collect
from containers.runtime_folder import bases, runtime_folder
from containers.runtimes import RUNTIMES, choose
from containers.starting import Starting, start_coordinator, start_sites
from containers.terminal import say
from containers.watch import Watch

KEYS_SECONDS = 60.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--spec", type=Path, required=True, help="what to do, as the plan wrote it")
    parser.add_argument(
        "--statistics", type=Path, metavar="FILE", help="what the agreement found (training needs it)"
    )
    parser.add_argument(
        "--state", type=Path, required=True, metavar="FOLDER", help="where each party keeps its own"
    )
    parser.add_argument(
        "--results", type=Path, required=True, metavar="FOLDER", help="replaced when all has gone well"
    )
    parser.add_argument(
        "--runtime", default="auto", help=f"auto (the strongest) or one of {', '.join(RUNTIMES)}"
    )
    parser.add_argument(
        "--tcp", action="store_true", help="meet over TCP on this machine, not over a local socket"
    )
    parser.add_argument(
        "--parent", type=int, metavar="PID", help="leave if this process is not the parent ($PPID)"
    )


def run(options: argparse.Namespace) -> int:
    """Launch; returns 0, the culprit's exit status, or 128 + n where signal n ended it."""
    if not hasattr(os, "pidfd_open"):
        raise ConfigError(
            "launch watches processes through Linux's pidfd (5.3 or newer), which is missing here"
        )
    die_with_parent(options.parent)
    runtime = choose(options.runtime)
    return launch(
        read_gang(options.spec, options.statistics, options.state, options.results), runtime, tcp=options.tcp
    )


def launch(
    gang: Gang,
    runtime: str = "host",
    *,
    tcp: bool = False,
    programs: Mapping[str, tuple[str, ...]] = PROGRAMS,
) -> int:
    """Run a gang to its end, whatever that is; ``programs`` says how each program's command line begins.

    Raises:
        ConfigError: the gang cannot be started here, or what it handed over cannot be collected.
    """
    began, held = time.monotonic(), hold(gang.state)
    try:
        with Watch() as watch:
            ending = see_through(gang, runtime, tcp, programs, watch, held)
            watch.leave_nobody()
            return conclude(gang, watch, ending, runtime, time.monotonic() - began)
    finally:
        os.close(held)


def see_through(
    gang: Gang, runtime: str, tcp: bool, programs: Mapping[str, tuple[str, ...]], watch: Watch, held: int
) -> Ending:
    """Start everybody and watch until nobody is left; the runtime folder lives exactly so long."""
    clear(gang)
    with runtime_folder(bases()) as folder:
        meeting = Meeting(folder, tcp)
        make_keys(gang, meeting, runtime, programs)
        if watch.stopped_by:
            return Ending("stopped")
        starting = Starting(gang, RUNTIMES[runtime], meeting, programs, held, next_attempt(gang))
        say(f"{gang.name}: starting {', '.join(gang.parties)} (isolation: {RUNTIMES[runtime].ISOLATION})")
        with show_progress(gang) as progress:
            start_coordinator(starting, watch, progress)
            start_sites(starting, watch)
            return follow(gang, watch, progress)


def make_keys(gang: Gang, meeting: Meeting, runtime: str, programs: Mapping[str, tuple[str, ...]]) -> None:
    """Write fresh keys for each party into the runtime folder.

    Raises:
        ConfigError: the program that makes them failed.
    """
    sandbox = keys(gang, meeting, programs)
    try:
        made = subprocess.run(
            RUNTIMES[runtime].argv(sandbox), env=dict(sandbox.environment), stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=KEYS_SECONDS, start_new_session=True, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError(f"{gang.name}: no keys could be made ({error}); check the environment") from None
    if made.returncode != 0:
        words = made.stderr.strip().splitlines() or ["it said nothing"]
        raise ConfigError(f"{gang.name}: no keys could be made (exit status {made.returncode}): {words[-1]}")


def conclude(gang: Gang, watch: Watch, ending: Ending, runtime: str, seconds: float) -> int:
    """Write down how each party ended; hand over the results, or say what went wrong."""
    outcomes = [outcome(member, gang.state / member.party) for member in watch.members]
    culprit = earliest(outcomes)
    if ending.why == "stopped" and watch.stopped_by:
        say(f"{gang.name}: stopped by {watch.stopped_by.name}; every party has left, nothing was handed over")
        return 128 + watch.stopped_by
    if ending.why == "lingered":
        say(lingering(gang, ending.stayed))
        return 1
    if culprit:
        return blame(gang, culprit, outcomes, watch)
    if len(watch.members) < len(gang.parties):
        say(f"{gang.name}: failed, because the coordinator left before the sites could start; see its log")
        return 1
    collect(gang, {"runtime": runtime, "isolation": RUNTIMES[runtime].ISOLATION})
    say(f"{gang.name}: done in {clock(seconds)}; results in {gang.results}")
    return 0


def blame(gang: Gang, culprit: Outcome, outcomes: list[Outcome], watch: Watch) -> int:
    """Report the earliest cause and return its exit status."""
    log = next(member.log for member in watch.members if member.party == culprit.party)
    say(failure(gang, culprit, [found for found in outcomes if found is not culprit], log))
    return culprit.code
