"""What a site's patients may tell over all runs: before a run releases anything, its whole budget is taken.

A run's own account (`sites.account`) keeps every patient within that run's (epsilon, delta), and stops it
before it is overdrawn. Here those of all runs on the site's patients are added up (Dwork & Roth 2014, theorem
3.16; also of runs chosen by what earlier ones told), whatever their seeds, arms and studies, and a run with
which the sum would pass the policy's budget does not begin. Nothing is given back: what ended may go on.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from math import exp
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

from coordinator.config import Policy
from coordinator.errors import ConfigError, DataError
from coordinator.specs import Run, run_digest

SPENT: Final = "spent.jsonl"  # beside the policy; whoever deletes it begins anew
ROUNDING: Final = 1e-9  # relative, of sums of floats


class Told(NamedTuple):
    """Epsilon and delta, of one patient's records replaced by another's."""

    epsilon: float
    delta: float


def unbudgeted(policy: Policy, run: Run) -> str | None:
    """Say why a run cannot be added up with others; None where it can, or nothing of it leaves."""
    if policy.budget is None or run.algorithm == "local":
        return None
    if policy.gate == "outside":
        return "budget: what trains sums it up, and has no policy with gate: outside; set gate: inside"
    if run.privacy.budget is not None:
        return None
    return "budget: the policy adds up over all runs what patients tell, and this run has no privacy.budget"


def reserve(policy: Policy, path: Path, run: Run, secret: bytes) -> None:
    """Take a run's budget from that of the policy, once for a run and a state folder.

    Args:
        policy: with a budget, or nothing is taken.
        path: of the policy's file, beside which the sum is kept.
        run: that is about to begin.
        secret: of the run's noise at this site; where it is another, all is released anew.

    Raises:
        ConfigError: the budget would be overdrawn, or the file cannot be written.
        DataError: the file is not such a sum.
    """
    if policy.budget is None or run.privacy.budget is None:
        return
    key = hashlib.sha256(b"reserved" + secret + run_digest(run).encode()).hexdigest()
    own, place = told_by(run), path.parent / SPENT
    with _opened(place) as file:
        lines = list(_lines(file, place))
        if any(line["key"] == key for line in lines):
            return
        _check(lines, own, Told(policy.budget.epsilon, policy.budget.delta), place)
        name = f"{run.study}/{run.task}/{run.strategy}/{run.seed}"
        file.write(json.dumps({"key": key, "run": name, **own._asdict()}).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def told_by(run: Run) -> Told:
    """Give a run's budget for a patient replaced, which is one removed and another added.

    Where an account is of one added or removed: 2 epsilon, (1 + e^epsilon) delta (Dwork & Roth 2014, 2.3).
    """
    budget = run.privacy.budget
    assert budget is not None
    if run.cut:
        return Told(budget.epsilon, budget.delta)
    return Told(2 * budget.epsilon, (1 + exp(budget.epsilon)) * budget.delta)


def _check(lines: list[dict[str, Any]], own: Told, most: Told, place: Path) -> None:
    before = Told(*(sum(line[name] for line in lines) for name in Told._fields))
    if any(a + b > c * (1 + ROUNDING) for a, b, c in zip(before, own, most, strict=True)):
        raise ConfigError(
            f"{place}: {len(lines)} runs took epsilon {before.epsilon:g} and delta {before.delta:g} of the "
            f"policy's {most.epsilon:g} and {most.delta:g}, and this one needs {own.epsilon:g} and "
            f"{own.delta:g}; nothing was sent"
        )


def _opened(path: Path) -> BinaryIO:
    try:
        file = path.open("a+b")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror}); the budget is kept there") from None
    fcntl.flock(file, fcntl.LOCK_EX)  # given up when the file is closed
    file.seek(0)
    return file


def _lines(file: BinaryIO, path: Path) -> Iterator[dict[str, Any]]:
    try:
        for line in file.read().splitlines():
            found = json.loads(line)
            yield {"key": str(found["key"]), **{name: float(found[name]) for name in Told._fields}}
    except (ValueError, LookupError, TypeError):
        raise DataError(f"{path}: not what runs took; restore it, or what was told is unknown") from None
