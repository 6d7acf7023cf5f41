"""``python -m containers launch``: one gang from its keys to its results."""

import argparse
import os
import subprocess
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

from containers.allocation import dealt, node
from containers.attempt import clear, next_attempt
from containers.borrowing import Borrowed, borrowed
from containers.concluding import conclude
from containers.errors import ConfigError
from containers.follow import Ending, Progress, follow
from containers.gang import COORDINATOR, Gang, read_gang
from containers.gathering import Gathering
from containers.lifetime import die_with_parent, hold, share
from containers.meeting import Meeting
from containers.parties import PROGRAMS, keys
from containers.restarting import Restarting
from containers.runtime_folder import bases, runtime_folder
from containers.runtimes import RUNTIMES, add_memory, add_runtime, choose
from containers.setting import Setting, isolation
from containers.starting import Starting, sharing, start_coordinator, start_sites
from containers.terminal import Lines, Voice, display
from containers.watch import Watch

KEYS_SECONDS = 60.0
FROM_SERVERS = " from the study's fork servers"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add = parser.add_argument
    add("--spec", type=Path, required=True, metavar="FILE", help="what to do, as the plan wrote it")
    add("--statistics", type=Path, metavar="FILE", help="what the agreement found (training needs it)")
    add("--state", type=Path, required=True, metavar="FOLDER", help="where each party keeps its own")
    add("--results", type=Path, required=True, metavar="FOLDER", help="replaced when all has gone well")
    add_runtime(parser)
    add_memory(parser)
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
    where = node(os.environ)
    if where.alone:  # otherwise Slurm's own process is the parent
        die_with_parent(options.parent)
    voice = Voice(None if where.rank else options.log)
    try:
        gang = read_gang(options.spec, options.statistics, options.state, options.results)
        gang = replace(gang, here=gang.of(dealt(gang.keyed, where)), memory=options.memory)
        if not gang.here:
            voice.say(f"{gang.name}: no party is left for this launcher{where}")
            return 0
        tcp = options.tcp or not where.alone
        return launch(gang, Setting(choose(options.runtime), tcp, voice, programs, where))
    except ConfigError as error:
        voice.note(str(error))
        raise


def launch(gang: Gang, setting: Setting) -> int:
    """Run a gang to its end, or this node's part of it, whatever that is.

    Raises:
        ConfigError: the gang cannot be started here, or what it handed over cannot be collected.
    """
    began, gathering = time.monotonic(), Gathering(gang, setting.where)
    held = enter(gathering)
    try:
        with place_of(gang, setting, held) as lent, Watch() as watch:
            ending = see_through(gathering, setting, watch, held, lent)
            return conclude(gathering, setting, watch, ending, time.monotonic() - began)
    finally:
        os.close(held)


def place_of(gang: Gang, setting: Setting, held: int) -> AbstractContextManager[Borrowed | None]:
    """Ask for the study's fork servers, where all parties meet on this machine."""
    alone = setting.where.alone and not setting.tcp
    return borrowed(gang, setting.runtime, held) if alone else nullcontext()


def enter(gathering: Gathering) -> int:
    """Take the state folder, and clear it of an earlier attempt; launchers beside the first follow it in."""
    gang, where = gathering.gang, gathering.where
    if where.rank:
        gathering.join()
        return hold(gang.state, shared=True)
    held = hold(gang.state)
    clear(gang)
    gathering.open(next_attempt(gang), partial(share, held, gang.state))
    return held


def see_through(
    gathering: Gathering, setting: Setting, watch: Watch, held: int, lent: Borrowed | None
) -> Ending:
    """Start everybody here and watch until nobody is left; the runtime folder lives exactly so long."""
    gang, say = gathering.gang, setting.voice.say
    with runtime_folder(bases()) as folder:
        meeting = Meeting(folder, setting.tcp, 0, setting.where.address, lent.together if lent else None)
        make_keys(gang, meeting, setting)
        if watch.stopped_by or not gathering.exchange(folder / "manifest.json", watch):
            return Ending("stopped" if watch.stopped_by else "elsewhere")
        starting = Starting(gang, RUNTIMES[setting.runtime], meeting, setting.programs, held, gathering)
        who = f"{', '.join(gang.here)}{setting.where}{FROM_SERVERS if lent else ''}"
        say(f"{gang.name}: starting {who} (isolation: {isolation(gang, setting)})")
        # the coordinator's launcher alone hears of progress
        seen = nullcontext(Lines(setting.voice.note)) if setting.where.rank else display(setting.voice)
        own = None if lent else sharing(starting)
        handed = meeting.handed_out(gang.keyed)
        with handed, own or nullcontext(lent) as server, seen as shown, watch.emptied():
            progress = Progress(gang.name, shown, setting.voice, gang.state / "events.jsonl")
            if COORDINATOR in gang.here:
                start_coordinator(starting, watch, server, progress)
            start_sites(starting, watch, server)
            restarting = Restarting(starting, watch, server, progress, setting.voice)
            return follow(gathering, watch, progress, setting.voice, revive=restarting.revive)


def make_keys(gang: Gang, meeting: Meeting, setting: Setting) -> None:
    """Write fresh keys for each party here into the runtime folder.

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
