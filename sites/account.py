"""A site's privacy account: every noisy release that left, by patient, in a file that only grows.

It lies beside the ledger. A line is on the disk before the release leaves; no commit and no rollback takes it
back. A release that is written down already, the same content in the same place under the same secret, is the
same noise again and costs nothing.
"""

import json
import os
from collections import Counter
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from coordinator.config import Budget
from coordinator.errors import ConfigError, DataError
from coordinator.privacy.accounting import Cost
from coordinator.privacy.guard import SAMPLED, TRAIN

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
PARTS: Final = ("rho", "pure", "pure_rho")  # of a cost
DELTA: Final = 1e-5  # at which an account without a budget is told
ROUNDING: Final = 1e-9  # relative, of sums of floats
_EMPTY: Final = np.zeros(0, dtype=np.int64)


class Account:
    """What each patient's records have told so far."""

    def __init__(self, path: Path, patients: Mapping[str, Integers], budget: Budget | None = None) -> None:
        """Go on after what an earlier attempt wrote.

        Args:
            path: the file.
            patients: by role, whose each record is (records,).
            budget: none: nothing is refused.

        Raises:
            DataError: the file is not an account.
        """
        self._path, self._budget = path, budget
        self._slots = {role: _numbered(found) for role, found in patients.items()}
        self._steps: Counter[tuple[float, float]] = Counter()  # on sampled patients, by scale and rate
        self._spent: dict[str, Floats] = {}  # by role (patients, parts of a cost)
        self._known: set[str] = set()
        self._decisions: dict[tuple[int, ...], bool] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        for line in _lines(path):
            self._take(line)
        self._file = path.open("ab", buffering=0)

    def charge(self, key: str, role: str, records: Integers, cost: Cost) -> None:
        """Write a release down, and onto the disk; once.

        Raises:
            ConfigError: with it, a patient's account would be overdrawn.
        """
        if key in self._known:
            return
        self._check(self._worst(self._after(role, records, cost)), f"a release of {role} records")
        self._write({"key": key, "role": role, "records": records.tolist(), "cost": _parts(cost)})

    def charge_step(self, key: str, scale: float, q: float) -> None:
        """Write a step on secretly sampled training patients down, and onto the disk; once.

        Raises:
            ConfigError: with it, the patients' accounts would be overdrawn.
        """
        if key in self._known:
            return
        if self._budget is not None:
            self._check(self._after_steps(1, scale, q), "a step of DP-SGD")
        self._write({"key": key, "step": [scale, q]})

    def affords_steps(self, count: int, scale: float, q: float) -> bool:
        """Say whether so many more of these can be borne."""
        return self._budget is None or self._fits(self._after_steps(count, scale, q))

    def affords(self, role: str, cost: Cost) -> bool:
        """Say whether every patient of a role can have all records released at such a cost each."""
        every = np.arange(len(self._slots.get(role, ())))
        return not len(every) or self._fits(self._worst(self._after(role, every, cost)))

    def decided(self, at: tuple[int, ...], decide: Callable[[], bool]) -> bool:
        """Give what was decided at a place, now or before: a run that goes on decides alike."""
        if at not in self._decisions:
            self._write({"at": list(at), "goes_on": decide()})
        return self._decisions[at]

    def forbids(self, at: tuple[int, ...]) -> bool:
        """Say whether it was decided at a place that nothing goes on."""
        return not self._decisions.get(at, True)

    def epsilons(self) -> dict[str, float]:
        """Give the worst patient's epsilon by role, at the budget's delta."""
        found = {role: self._worst(self._of(role)) for role, slots in self._slots.items() if len(slots)}
        return {**found, TRAIN: self._after_steps(0, 1.0, 0.0)} if self._steps else found

    @property
    def delta(self) -> float:
        """Give the delta at which epsilons are told."""
        return self._budget.delta if self._budget else DELTA

    def most_records(self, role: str) -> int:
        """Count the records of the patient who has most."""
        slots = self._slots.get(role, _EMPTY)
        return int(np.bincount(slots).max(initial=0))

    def _after(self, role: str, records: Integers, cost: Cost) -> Floats:
        if (beyond := int(records.max(initial=-1)) + 1) > len(self._slots[role]):
            self._grow(role, beyond)
        spent = self._of(role)
        counts = np.bincount(self._slots[role][records], minlength=len(spent))
        return spent + counts[:, None] * np.array(_parts(cost))

    def _of(self, role: str) -> Floats:
        spent = self._spent.get(role, np.zeros((0, len(PARTS))))
        more = max(0, int(self._slots[role].max(initial=-1)) + 1 - len(spent))
        return np.concatenate([spent, np.zeros((more, len(PARTS)))])

    def _grow(self, role: str, size: int) -> None:
        """Know records of an earlier attempt that had more: new records that are asked about, one by one."""
        slots = self._slots[role]
        first = int(slots.max(initial=-1)) + 1
        self._slots[role] = np.concatenate([slots, np.arange(first, first + size - len(slots))])

    def _worst(self, spent: Floats) -> float:
        # patients differ in how many records they have, and most do not
        return max((Cost(*each).epsilon(self.delta) for each in np.unique(spent, axis=0)), default=0.0)

    def _after_steps(self, count: int, scale: float, q: float) -> float:
        steps = self._steps + Counter({(scale, q): count})
        return float(import_module(SAMPLED).epsilon(steps, self.delta))  # importing Opacus takes seconds

    def _fits(self, epsilon: float) -> bool:
        return self._budget is None or epsilon <= self._budget.epsilon * (1 + ROUNDING)

    def _check(self, epsilon: float, what: str) -> None:
        if not self._fits(epsilon):
            assert self._budget is not None
            raise ConfigError(
                f"the privacy account refused {what}: with it, a patient's epsilon would be {epsilon:.3g} at "
                f"delta {self.delta:g}, and the budget is {self._budget.epsilon:g}; nothing was sent"
            )

    def _write(self, line: dict[str, Any]) -> None:
        content = json.dumps(line, separators=(",", ":")).encode() + b"\n"
        if self._file.write(content) != len(content):
            raise DataError(f"{self._path}: cannot be written; make room, then run again")
        os.fsync(self._file.fileno())
        self._take(line)

    def _take(self, line: Mapping[str, Any]) -> None:
        if "at" in line:
            self._decisions[tuple(line["at"])] = line["goes_on"]
            return
        self._known.add(line["key"])
        if "step" in line:
            self._steps[(line["step"][0], line["step"][1])] += 1
            return
        records = np.asarray(line["records"], dtype=np.int64)
        self._spent[line["role"]] = self._after(line["role"], records, Cost(*line["cost"]))


def _parts(cost: Cost) -> tuple[float, ...]:
    return tuple(getattr(cost, part) for part in PARTS)


def _numbered(patients: Integers) -> Integers:
    slots: Integers = np.unique(patients, return_inverse=True)[1]
    return slots


def _lines(path: Path) -> list[dict[str, Any]]:
    """Read an account; a last line that a power cut cut off left nothing, and is ended.

    Raises:
        DataError: another line is no line of an account.
    """
    if not path.exists():
        return []
    content = path.read_bytes()
    whole, _, rest = content.rpartition(b"\n")
    if rest:
        with path.open("r+b") as file:
            file.truncate(len(content) - len(rest))
    try:
        return [json.loads(line) for line in whole.splitlines()]
    except ValueError:
        raise DataError(
            f"{path}: not a privacy account; restore it: without it the budget is unknown"
        ) from None
