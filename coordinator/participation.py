"""Who trains in a round, and for how many epochs: drawn, named by the study, or as a run recorded it.

A site is there from the round in which it joins until the one in which it leaves; of those that are there a
share is drawn. A site that does not train in a round

- federated, averaged parts: is in no average of that round, and goes on from it;
- parts handed on: has no turn; it gets the parts at the round's end, as all do;
- private parts: keeps its own as they are; one that has never trained has no model ("not available");
- joint step: has no records in it; the step's mean is over those of the others;
- SCAFFOLD: keeps its control variate, 0 before it joins (Karimireddy 2020, algorithm 1).

An optimizer whose state is kept waits with it. Every site's validation records have a say in every round,
those of a site that is not there too: losses over different patients would not compare between rounds.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from coordinator.draws import key
from coordinator.errors import ConfigError
from coordinator.specs import Run


def participants(run: Run, round_: int, sites: int) -> tuple[int, ...]:
    """Give the sites that train in a round, in site order: a share of those there, rounded, at least one."""
    if round_ < len(run.recorded):
        return run.recorded[round_]
    there = present(run, round_, sites)
    count = max(1, round(run.participation * len(there)))
    if count >= len(there):
        return there
    draws = np.random.default_rng(key(run.seed, "participation", round_))
    return tuple(sorted(there[int(i)] for i in draws.choice(len(there), size=count, replace=False)))


def present(run: Run, round_: int, sites: int) -> tuple[int, ...]:
    """Give the sites that have joined and not left; counted from round 0, a site leaves before its round."""
    if not run.join and not run.leave:
        return tuple(range(sites))
    rounds = run.training.rounds
    return tuple(
        site
        for site, name in enumerate(run.sites)
        if run.join.get(name, 0) <= round_ < run.leave.get(name, rounds)
    )


def has_trained(run: Run, site: int, round_: int) -> bool:
    """Say whether a site has trained in some round of a trial until this one."""
    return any(site in participants(run, each, len(run.sites)) for each in range(round_ + 1))


def epochs_of(run: Run, site: int) -> int:
    """Give the passes over its records that a site makes in a round."""
    return run.training.epochs_by_site.get(run.sites[site], run.training.local_epochs)


def participation_rows(run: Run, walked: list[tuple[int, int]]) -> list[dict[str, Any]]:
    """Describe who trained in the rounds (trial, round) that were walked, and for how many epochs."""
    if run.parties != run.sites:  # the pool
        epochs = [run.training.local_epochs]
        return [
            {"trial": trial, "round": round_, "sites": list(run.parties), "epochs": epochs}
            for trial, round_ in walked
        ]
    return [
        {"trial": trial, "round": round_, "sites": [run.sites[i] for i in who],
         "epochs": [epochs_of(run, i) for i in who]}
        for trial, round_ in walked
        for who in [participants(run, round_, len(run.sites))]
    ]  # fmt: skip


def with_recorded(run: Run, path: Path) -> Run:
    """Let a run repeat the participation that an earlier one recorded.

    Raises:
        ConfigError: the file is no participation.jsonl, or not one of such a run.
    """
    return run.model_copy(update={"recorded": _recorded(run, path)})


def _recorded(run: Run, path: Path) -> tuple[tuple[int, ...], ...]:
    found: dict[int, tuple[int, ...]] = {}
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        for row in rows:
            who = _row(run, row, path)
            if found.setdefault(row["round"], who) != who:
                raise ConfigError(
                    f"{path}: trials differ in round {row['round']}; expected one list of sites"
                )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path}: not a run's participation.jsonl ({error}); name one") from None
    rounds = len(found)
    if sorted(found) != list(range(rounds)) or not rounds:
        raise ConfigError(f"{path}: expected rounds 0, 1, ...; found {sorted(found)}")
    # a run that ran out of patience recorded fewer, and its repetition stops there too
    if rounds > run.training.rounds or (rounds < run.training.rounds and run.training.patience is None):
        raise ConfigError(
            f"{path}: holds {rounds} rounds, and the run has {run.training.rounds}; set rounds: {rounds}"
        )
    return tuple(found[round_] for round_ in range(rounds))


def _row(run: Run, row: dict[str, Any], path: Path) -> tuple[int, ...]:
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
    return tuple(sorted(run.sites.index(site) for site in row["sites"]))
