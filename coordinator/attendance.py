"""What a run records of who took part in it, ``participation.jsonl``, and a run that repeats it.

A row is a round (trial, round) that was walked: who trained, and for how many epochs. Where the run went on
without a site, `chosen` adds who was to train, `away` from which item of the trial on which sites were away
(an empty list: nobody), and `stale` how many rounds old a private front was that came back.
"""

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from coordinator.errors import ConfigError
from coordinator.participation import epochs_of, participants
from coordinator.schedule import Validate
from coordinator.specs import Away, Run
from coordinator.walking import away_at, keeps_apart, walked

Rounds = Sequence[tuple[int, int]]
Place = tuple[int, int]  # trial, and item of the trial


def participation_rows(
    run: Run, rounds: Rounds, records: tuple[int, ...] = (), away: Away = ()
) -> list[dict[str, Any]]:
    """Describe who trained in the rounds (trial, round) that were walked, and for how many epochs.

    Args:
        run: the resolved run.
        rounds: in order.
        records: training records of each hospital, in site order.
        away: who was away, from which item on.
    """
    if run.parties != run.sites:  # the pool
        epochs = [run.training.local_epochs]
        return [
            {"trial": trial, "round": round_, "sites": list(run.parties), "epochs": epochs}
            for trial, round_ in rounds
        ]
    rows = [_row(run, at, participants(run, at[1], len(run.sites))) for at in rounds]
    return _with_absences(run, rows, records, away) if away else rows


def _row(run: Run, at: tuple[int, int], who: Sequence[int]) -> dict[str, Any]:
    names, epochs = [run.sites[i] for i in who], [epochs_of(run, i) for i in who]
    return {"trial": at[0], "round": at[1], "sites": names, "epochs": epochs}


def _with_absences(
    run: Run, rows: list[dict[str, Any]], records: tuple[int, ...], away: Away
) -> list[dict[str, Any]]:
    ends = {
        (each.item.trial, each.item.round): each.at
        for each in walked(run, records, away)
        if isinstance(each.item, Validate)
    }
    walked_to = [ends[row["trial"], row["round"]] for row in rows]
    starts = [(0, 0), *(_following(end, row) for end, row in zip(walked_to, rows[1:], strict=False))]
    spans = pairwise([*starts, (len(run.training.learning_rates), 0)])  # the last one lasts to the end
    return [_absent(run, row, away, span, walked_to) for row, span in zip(rows, spans, strict=True)]


def _following(end: Place, row: dict[str, Any]) -> Place:
    return (end[0], end[1] + 1) if row["trial"] == end[0] else (row["trial"], 0)


def _absent(
    run: Run, row: dict[str, Any], away: Away, span: tuple[Place, Place], ends: list[Place]
) -> dict[str, Any]:
    events = [(item, sites) for trial, item, sites in away if span[0] <= (trial, item) < span[1]]
    all_along = set(away_at(away, span[0])).intersection(*(sites for _, sites in events))
    who = [run.sites.index(name) for name in row["sites"]]
    found = _row(run, (row["trial"], row["round"]), [site for site in who if site not in all_along])
    if found["sites"] != row["sites"]:
        found["chosen"] = row["sites"]
    if events:
        found["away"] = [{"item": p, "sites": [run.sites[site] for site in sites]} for p, sites in events]
    if stale := _stale(run, away, span, ends):
        found["stale"] = stale
    return found


def _stale(run: Run, away: Away, span: tuple[Place, Place], ends: list[Place]) -> dict[str, int]:
    """Say how many rounds each private front had missed that came back in a round."""
    found, since = {}, dict[int, Place]()
    for trial, item, sites in away if keeps_apart(run) else ():
        at = (trial, item)
        for site in [each for each in since if each not in sites]:
            left = since.pop(site)
            if span[0] <= at < span[1]:
                found[run.sites[site]] = sum(left <= end < at for end in ends)
        since |= {site: at for site in sites if site not in since}
    return found


def with_recorded(run: Run, path: Path) -> Run:
    """Let a run repeat the participation that an earlier one recorded.

    Raises:
        ConfigError: the file is no participation.jsonl, or not one of such a run.
    """
    rows = _read(path)
    return run.model_copy(update={"recorded": _recorded(run, rows, path), "away": _away(run, rows, path)})


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise ConfigError(_not_one(path, error)) from None


def _recorded(run: Run, rows: list[dict[str, Any]], path: Path) -> tuple[tuple[int, ...], ...]:
    found: dict[int, tuple[int, ...]] = {}
    try:
        for row in rows:
            who = _who(run, row, path)
            if found.setdefault(row["round"], who) != who:
                raise ConfigError(
                    f"{path}: trials differ in round {row['round']}; expected one list of sites"
                )
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(_not_one(path, error)) from None
    rounds = len(found)
    if sorted(found) != list(range(rounds)) or not rounds:
        raise ConfigError(f"{path}: expected rounds 0, 1, ...; found {sorted(found)}")
    # a run that ran out of patience recorded fewer, and its repetition stops there too
    if rounds > run.training.rounds or (rounds < run.training.rounds and run.training.patience is None):
        raise ConfigError(
            f"{path}: holds {rounds} rounds, and the run has {run.training.rounds}; set rounds: {rounds}"
        )
    return tuple(found[round_] for round_ in range(rounds))


def _away(run: Run, rows: list[dict[str, Any]], path: Path) -> Away:
    try:
        away = tuple(
            (int(row["trial"]), int(each["item"]), tuple(map(run.sites.index, each["sites"])))
            for row in rows
            for each in row.get("away", ())
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(_not_one(path, error)) from None
    places = [(trial, item) for trial, item, _ in away]
    if places != sorted(set(places)):
        raise ConfigError(f"{path}: sites come and go at the items {places}; expected rising numbers")
    return away


def _not_one(path: Path, error: Exception) -> str:
    return f"{path}: not a run's participation.jsonl ({error}); name one"


def _who(run: Run, row: dict[str, Any], path: Path) -> tuple[int, ...]:
    for site, epochs in zip(row["sites"], row["epochs"], strict=True):
        if site not in run.sites:
            raise ConfigError(
                f"{path}: '{site}' took part, and the task has the sites {', '.join(run.sites)}"
            )
        if epochs != epochs_of(run, run.sites.index(site)):
            raise ConfigError(
                f"{path}: '{site}' trained for {epochs} local epochs in round {row['round']}, the study says "
                f"{epochs_of(run, run.sites.index(site))}; set training.local_epochs or epochs_by_site"
            )
    return tuple(sorted(run.sites.index(site) for site in row.get("chosen", row["sites"])))
