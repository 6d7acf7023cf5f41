"""Where a run stands: what the coordinator's events add up to, as data and as one line of text."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

PREFIXES = ("", "k", "M", "G", "T")


@dataclass(frozen=True)
class Standing:
    """How far a run is; ``round`` counts finished ones, a total of 0 is not known.

    ``trial`` counts from 0, ``loss`` is the last finished round's on validation records, ``absent``
    names the sites that have not come yet. ``auroc`` is of validation records too, ``moved`` counts the bytes
    so far, both ways.
    """

    run: str
    round: int = 0
    rounds: int = 0
    trial: int = 0
    trials: int = 1
    step: int = 0
    steps: int = 0
    loss: float | None = None
    auroc: float | None = None
    moved: int = 0
    absent: tuple[str, ...] = ()
    done: bool = False


def advance(standing: Standing, event: Mapping[str, Any]) -> Standing:
    """Add one event of the coordinator; what is unknown or of the wrong type changes nothing."""
    kind = event.get("event")
    if kind == "waiting":
        return replace(standing, absent=tuple(map(str, event.get("sites") or ())))
    standing = replace(standing, absent=())  # whatever else is said, all are here
    if kind == "start":
        return _counted(standing, event, "rounds", "trials", "steps")
    if kind == "step":
        return _counted(standing, event, "step")
    if kind == "round":
        counted = _counted(replace(standing, round=-1), event, "round", "trial", "step")
        # the coordinator numbers rounds from 0 and tells of one when it is over
        ranked, sizes = (
            _number(event, "validation_auroc"),
            [_number(event, f"bytes_{w}") for w in ("up", "down")],
        )
        return replace(
            counted, round=counted.round + 1 or standing.round, loss=_number(event, "validation_loss"),
            auroc=ranked, moved=int(sum(size or 0 for size in sizes)),
        )  # fmt: skip
    return replace(standing, done=True) if kind == "done" else standing


def fraction(standing: Standing) -> float:
    """Return how much of the run is done, from 0 to 1; by steps where their number is known."""
    if standing.done:
        return 1.0
    if standing.steps:
        return min(1.0, standing.step / standing.steps)
    total = standing.rounds * standing.trials
    return min(1.0, (standing.trial * standing.rounds + standing.round) / total) if total else 0.0


def remaining_seconds(standing: Standing, elapsed_seconds: float) -> float | None:
    """Estimate what is left from what it took so far."""
    part = fraction(standing)
    return elapsed_seconds * (1 - part) / part if part > 0 else None


def where(standing: Standing) -> str:
    """Say the trial, round and step, as far as they are known."""
    words = [
        f"trial {standing.trial + 1}/{standing.trials}" if standing.trials > 1 else "",
        _of("round", standing.round, standing.rounds),
        _of("step", standing.step, standing.steps),
        "" if standing.loss is None else f"validation loss {standing.loss:.4f}",
        "" if standing.auroc is None else f"AUROC {standing.auroc:.3f}",
        size(standing.moved) if standing.moved else "",
        f"still waiting for {', '.join(standing.absent)}" if standing.absent else "",
    ]
    return ", ".join(word for word in words if word)


def line(standing: Standing, elapsed_seconds: float) -> str:
    """Say all of it in one line that carries the run's name."""
    left = remaining_seconds(standing, elapsed_seconds)
    times = clock(elapsed_seconds) + (f", {clock(left)} left" if left else "")
    return f"{standing.run}: {where(standing) or 'started'} ({times})"


def clock(seconds: float) -> str:
    """Write a duration as people read it."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}" if minutes >= 60 else f"{minutes}:{rest:02d}"


def _of(word: str, number: int, total: int) -> str:
    if not number and not total:
        return ""
    return f"{word} {number}/{total}" if total else f"{word} {number}"


def _counted(standing: Standing, event: Mapping[str, Any], *keys: str) -> Standing:
    found = {key: event.get(key) for key in keys}
    counts: dict[str, Any] = {key: value for key, value in found.items() if type(value) is int and value >= 0}
    return replace(standing, **counts)


def size(count: int) -> str:
    """Write bytes as people read them (1 kB = 1000 bytes)."""
    value, unit = float(count), 0
    while value >= 999.5 and unit < len(PREFIXES) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.3g} {PREFIXES[unit]}B"


def _number(event: Mapping[str, Any], key: str) -> float | None:
    found = event.get(key)
    return float(found) if isinstance(found, int | float) and math.isfinite(found) else None
