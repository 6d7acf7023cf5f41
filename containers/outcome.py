"""How each party ended, and which end came first: the cause, not its echoes."""

import json
import os
import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from containers.member import Member

ECHOES = ("peer_lost", "lifeline")  # what a party says when another one's end made it leave
NEXT = {
    "config": "correct what the message names and run again",
    "data": "the site's data steward looks at what the message names; then run again",
    "protocol": "check that all parties run the same version of Suture; if they do, report it with the logs",
    "peer_lost": "look at the other parties' logs and at the network between them; then run again",
    "lifeline": "look at its log for what it was doing; then run again",
    "killed": "somebody or the system ended it (SIGKILL is often memory running out); then run again",
    "memory": "give it more (`memory_mb` in the study limits it) or smaller batches; then run again",
    "disk": "make room, or let the party write there; then run again: it goes on from the last commit",
    "crash": "this is a fault of the program: report it with the log",
}


@dataclass(frozen=True)
class Outcome:
    """What ``exit.json`` holds: ``code`` as a shell gives it, ``time`` in seconds since the epoch."""

    party: str
    code: int
    cause: str
    message: str
    time: float


def outcome(member: Member, folder: Path) -> Outcome:
    """Read what an ended party wrote about its end, or write it for one that could not."""
    own = _read(folder / "exit.json", member)
    if own is not None:
        return own
    found = _inferred(member)
    _write(found, folder / "exit.json")
    return found


def earliest(outcomes: Iterable[Outcome]) -> Outcome | None:
    """Pick the failure the others followed from: the first that is no echo of another's end."""
    failed = [found for found in outcomes if found.code != 0]
    own = [found for found in failed if found.cause not in ECHOES]
    return min(own or failed, key=lambda found: found.time, default=None)


def exit_status(status: int) -> int:
    """Turn a process' status (negative for a signal) into what a shell gives."""
    return status if status >= 0 else 128 - status


def advice(found: Outcome) -> str:
    """Say what to do next."""
    killed = found.cause == "crash" and found.code > 128
    return NEXT.get("killed" if killed else found.cause, NEXT["crash"])


def last_lines(log: Path, *, lines: int = 12, size_bytes: int = 8192) -> list[str]:
    """Return the end of a log."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - size_bytes))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return [line.rstrip() for line in text.splitlines() if line.strip()][-lines:]


def _read(path: Path, member: Member) -> Outcome | None:
    """Read an outcome that agrees with how the process ended."""
    try:
        found: Any = json.loads(path.read_bytes())
        said = Outcome(
            member.party,
            exit_status(member.status),
            str(found["cause"]),
            str(found["message"]),
            float(found["time"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return said if (said.cause == "ok") == (member.status == 0) else None


def _inferred(member: Member) -> Outcome:
    if member.status == 0:
        cause, message = "ok", ""
    elif member.status < 0 or member.status > 128:
        cause, message = "crash", how(member.status)
    else:
        cause, message = "crash", (last_lines(member.log, lines=1) or ["it said nothing"])[0]
    if member.status != 0 and member.ended_by_us:
        cause = "lifeline"
    return Outcome(member.party, exit_status(member.status), cause, message, _since_the_epoch(member))


def _since_the_epoch(member: Member) -> float:
    ago = time.monotonic() - member.ended if member.ended is not None else 0.0
    return time.time() - ago


def how(status: int) -> str:
    """Say how a process ended; its status is negative for a signal, above 128 if that was within walls."""
    if 0 <= status <= 128:
        return f"exit status {status}"
    return f"ended by {_signal_name(exit_status(status) - 128)}"


def _signal_name(number: int) -> str:
    return signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"


def _write(found: Outcome, path: Path) -> None:
    partial = path.with_suffix(f".{os.getpid()}.partial")
    with suppress(OSError):  # the party's disk may be full: what is found is said all the same
        partial.write_text(json.dumps(asdict(found)) + "\n", encoding="utf-8")
        partial.rename(path)
