"""Who trains in a round, and for how many epochs: drawn, named by the study, or as a run recorded it.

A site is there from the round in which it joins until the one in which it leaves; of those that are there a
share is drawn. A site that does not train in a round

- federated, averaged parts: is in no average of that round, and goes on from it;
- parts handed on: has no turn; it gets the parts at the round's end, as all do;
- private parts: keeps its own as they are; one that has never trained has no model ("not available");
- joint step: has no records in it; the step's mean is over those of the others;
- SCAFFOLD: keeps its control variate, 0 before it joins (Karimireddy 2020, algorithm 1).

An optimizer whose state is kept waits with it. Every site's validation records have a say in every round,
those of a site that is not there too: losses over different patients would not compare between rounds. They
have none where a site cannot be reached and the run goes on without it (`walking`).
"""

import numpy as np

from coordinator.draws import key
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


def epochs_of(run: Run, site: int) -> int:
    """Give the passes over its records that a site makes in a round."""
    return run.training.epochs_by_site.get(run.sites[site], run.training.local_epochs)
