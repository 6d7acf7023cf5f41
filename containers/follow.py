"""Follows a started gang: shows its progress, and decides when it has to end."""

import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from containers.gang import COORDINATOR
from containers.gathering import Gathering
from containers.outcome import how
from containers.progress import Standing, advance
from containers.terminal import Display, Voice
from containers.watch import Watch

LINGER_SECONDS = 60.0  # how long the rest may take once the coordinator, or every site, is done
TICK_SECONDS = 0.25


@dataclass(frozen=True)
class Ending:
    """Why a gang ended; ``stayed`` names who had not left when the work was done."""

    why: Literal["finished", "failed", "stopped", "lingered", "elsewhere"]
    stayed: tuple[str, ...] = ()


class Progress:
    """Where the run stands, and where that is shown."""

    def __init__(self, run: str, shown: Display, voice: Voice, events: Path | None = None) -> None:
        """Begin at nothing; ``events`` gets what is said but for single steps, attempt after attempt."""
        self.standing, self._shown, self._voice = Standing(run), shown, voice
        self._events, self._began = events, time.monotonic()

    def receive(self, event: Mapping[str, Any]) -> None:
        """Take one event of the coordinator; a note is said as it is."""
        if event.get("event") == "note":
            self._voice.say(f"{self.standing.run}: {event.get('text')}")
        self._write(event)
        self.standing = advance(self.standing, event)
        self.show()

    def _write(self, event: Mapping[str, Any]) -> None:
        if self._events and event.get("event") != "step":
            since = {"elapsed_seconds": round(time.monotonic() - self._began, 3)}
            with (
                suppress(OSError),
                self._events.open("a", encoding="utf-8") as file,
            ):  # a full disk stops no run
                file.write(json.dumps({**event, **since}) + "\n")

    def show(self) -> None:
        """Show it again: time has passed."""
        self._shown.show(self.standing)


def follow(
    gathering: Gathering,
    watch: Watch,
    progress: Progress,
    voice: Voice,
    *,
    linger_seconds: float = LINGER_SECONDS,
    revive: Callable[[], None] = lambda: None,
) -> Ending:
    """Watch until nobody is left; a failure, a signal or a party that stays begins the end of all.

    ``revive`` may start a party again before its end counts as a failure.
    """
    ending, done_since = Ending("finished"), None
    while True:
        progress.show()
        if ending.why == "finished":
            revive()
            done_since = (done_since or time.monotonic()) if _work_is_done(watch, gathering) else None
            ending = _reason(watch, gathering, done_since, linger_seconds)
            if ending.why != "finished":
                voice.say(f"{gathering.gang.name}: {_words(watch, ending)}; asking everybody to leave")
                watch.end()
        if not watch.alive():
            return ending
        watch.step(TICK_SECONDS)


def _reason(watch: Watch, gathering: Gathering, done_since: float | None, linger_seconds: float) -> Ending:
    if watch.failed():
        return Ending("failed")
    if watch.alive() and gathering.failed_elsewhere() is not None:
        return Ending("elsewhere")
    if watch.stopped_by and watch.alive() and not gathering.may_commit():
        return Ending("stopped")
    if watch.alive() and done_since and time.monotonic() - done_since > linger_seconds:
        return Ending("lingered", tuple(member.party for member in watch.alive()))
    return Ending("finished")


def _work_is_done(watch: Watch, gathering: Gathering) -> bool:
    left = {member.party for member in watch.alive()} | gathering.left_elsewhere()
    return COORDINATOR not in left or left == {COORDINATOR}


def _words(watch: Watch, ending: Ending) -> str:
    if ending.why == "failed":
        first = watch.failed()[0]
        return f"{first.party} ended ({how(first.status)})"
    if ending.why == "stopped" and watch.stopped_by:
        return f"{watch.stopped_by.name} received"
    if ending.why == "elsewhere":
        return "a party on another node has failed"
    return f"{', '.join(ending.stayed)} stayed after the rest was done"
