"""A site's guard for a run: its secret, its account, how much noise it takes; what it tells at the end."""

import os
from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from coordinator.algorithms.protecting import defended
from coordinator.epochs import batches_in
from coordinator.errors import ConfigError
from coordinator.outcome import write_bytes, write_json
from coordinator.privacy.accounting import least_scale, noises_per_visit, planned_epochs, pure_cost
from coordinator.privacy.claims import claims_of
from coordinator.privacy.guard import SAMPLED, SUSPECTED, TEST, TRAIN, VALIDATION, Guard
from coordinator.privacy.hijacking import Scrutiny
from coordinator.privacy.secret_noise import SECRET_BYTES, Secret
from coordinator.specs import Run, run_digest
from sites.account import Account

SECRET: Final = "privacy.secret"  # noqa: S105 - a file's name
ACCOUNT: Final = "account.jsonl"
Patients = Mapping[str, NDArray[np.int64]]


def guard_for(run: Run, index: int, patients: Patients, state: Path) -> Guard | None:
    """Make a site's guard, if its strategy has a defence; go on with the account in the state folder.

    Args: `patients` are by role whose each record is; roles that are not there do not count.

    Raises:
        ConfigError: not even one round keeps within the budget.
    """
    if not defended(run):
        return None
    counted = {role: patients[role] for role in (TRAIN, VALIDATION, TEST) if role in patients}
    account = Account(state / ACCOUNT, counted, run.privacy.budget)
    secret = Secret(own_secret(state / SECRET), run_digest(run))
    trained = np.unique(patients.get(TRAIN, np.zeros(0, dtype=np.int64)), return_inverse=True)[1]
    if account.forbids(SUSPECTED):
        raise ConfigError(
            f"{state / ACCOUNT}: this site suspected in this run that its layers are hijacked, and releases "
            "nothing more; ask who runs the coordinator, and begin anew with another state folder"
        )
    scrutiny = Scrutiny() if run.privacy.detect_hijacking else None
    bare = Guard(run, index, secret, account, patients=trained, scrutiny=scrutiny)
    return replace(bare, scale=scale_for(bare))


def check_first_round(guard: Guard, site: str) -> None:
    """Refuse a run of which a site cannot bear one round; one that goes on has borne it.

    Raises:
        ConfigError: naming the budget.
    """
    if not guard.account.decided((-1, -1), guard.affords_a_round):
        raise ConfigError(
            f"'{site}': the privacy budget does not bear one round and the final scoring; raise "
            "privacy.budget.epsilon or the noise's scale, or train for fewer epochs"
        )


def scale_for(guard: Guard) -> float:
    """Give the noise's scale in clips: the study's, or the least that the planned run needs here."""
    privacy = guard.run.privacy
    either = privacy.noise or privacy.dp_sgd
    if either is None or either.scale is not None:
        return 0.0 if either is None or either.scale is None else either.scale
    try:
        if privacy.noise is None:
            return _least_of_steps(guard)
        return max(_least_of_releases(guard, role) for role in (TRAIN, VALIDATION, TEST))
    except ValueError as error:
        raise ConfigError(f"privacy.budget: {error}; raise epsilon, or train for fewer epochs") from None


def _least_of_releases(guard: Guard, role: str) -> float:
    run, budget, noise = guard.run, guard.run.privacy.budget, guard.run.privacy.noise
    assert budget is not None  # the study's check
    assert noise is not None
    most = account_of(guard).most_records(role)
    times = {
        TRAIN: planned_epochs(run, guard.index) * noises_per_visit(run.privacy),
        VALIDATION: run.training.rounds * len(run.training.learning_rates),
        TEST: 1,
    }[role] * most
    labels = run.privacy.label_epsilon if role != TEST else None
    also = pure_cost(labels).times(most) if labels else None
    return least_scale(noise.mechanism, times, budget.epsilon, budget.delta, also) if times else 0.0


def _least_of_steps(guard: Guard) -> float:
    budget, records = guard.run.privacy.budget, len(guard.patients)
    assert budget is not None
    plan = guard.run.model_copy(update={"adapt": 0})  # what is adapted never leaves
    steps = planned_epochs(plan, guard.index) * batches_in(plan, records)
    if not steps:
        return 0.0
    least = import_module(SAMPLED).least_sampled_scale  # importing Opacus takes seconds
    return float(least(guard.sample_rate, steps, budget.epsilon, budget.delta))


def account_of(guard: Guard) -> Account:
    """Give a guard's account as it lies on the disk."""
    assert isinstance(guard.account, Account)
    return guard.account


def own_secret(path: Path) -> bytes:
    """Give the secret that keys this site's noise, made once and for this user alone."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, os.urandom(SECRET_BYTES), mode=0o600)
    return path.read_bytes()


def summary(guard: Guard, site: str) -> dict[str, Any]:
    """Say what a site's patients' accounts stand at, and what is not in them."""
    account = account_of(guard)
    budget = guard.run.privacy.budget
    return {
        "site": site,
        "unit": f"a patient's records, {'replaced' if guard.run.cut else 'added or removed'}",
        "epsilon": account.epsilons(),
        "delta": account.delta,
        "budget": budget.model_dump() if budget else None,
        "scale": guard.scale or None,
        "claims": [claim._asdict() for claim in claims_of(guard.run)],
    }


def tell(guard: Guard, site: str, path: Path) -> None:
    """Write a site's account beside its results, and print it."""
    found = summary(guard, site)
    write_json(path, found)
    spent = ", ".join(f"{role} {value:.3g}" for role, value in found["epsilon"].items())
    print(f"{site}: privacy: epsilon of the worst patient {spent} at delta {found['delta']:g}", flush=True)
    for claim in found["claims"]:
        print(f"{site}: privacy: {claim['defence']}: {claim['covers']}; not covered: {claim['not_covered']}",
              flush=True)  # fmt: skip
