"""Who is for testing, who for attackers, who for development: by patient, stratified by outcome.

Pure functions of the patients, their outcomes and a key, so neither the order of a file nor the strategy
changes a role. A patient counts as having the outcome if one of their records does; of several classes they
count under the last one, in the study's order.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from coordinator.config import Split
from coordinator.draws import key
from coordinator.errors import DataError
from coordinator.specs import Preparation

ROLES: Final = ("development", "test", "auxiliary")
Integers = npt.NDArray[np.int64]


def assign_roles(
    patients: Integers, labels: Integers, split: Split, seed: int, site: str
) -> npt.NDArray[np.str_]:
    """Give every record its patient's role; frozen by (seed, site).

    `patients` and `labels` hold one value per record (n,). Of two and more patients with an outcome at
    least one is tested and at least one develops, so that a small site keeps both where it can.
    """
    people, outcomes, record_of = _people(patients, labels)
    draw = np.random.default_rng(key(seed, "split", site))
    roles = np.full(len(people), ROLES[0], dtype="<U11")
    for outcome in range(max(2, outcomes.max(initial=0) + 1)):
        group = draw.permutation(np.flatnonzero(outcomes == outcome))
        test = _tested(group, split)
        rest = group[~np.isin(group, test)]
        auxiliary = min(_rounded(split.auxiliary * len(group)), max(len(rest) - 1, 0))
        roles[test] = "test"
        roles[rest[:auxiliary]] = "auxiliary"
    return roles[record_of]


def _tested(group: Integers, split: Split) -> Integers:
    """Choose whom of one outcome to test: none by draw, a fold, or a share."""
    if split.source_test:
        return group[:0]
    if split.fold is not None and split.folds is not None:
        return np.array_split(group, split.folds)[split.fold - 1]
    return group[: min(max(_rounded(split.test * len(group)), 1), max(len(group) - 1, 0))]


def roles_of(
    spec: Preparation, patients: Integers, labels: Integers, tests: npt.NDArray[np.bool_] | None
) -> npt.NDArray[np.str_]:
    """Give every record its role as the task says: drawn, by the source's own test set, or all for testing.

    `tests` marks the records that the source tests on (n,), where it does.

    Raises:
        DataError: the source's own test set is asked for and there is none.
    """
    site, split, seed = spec.site.name, spec.split, spec.split_seed
    if spec.held_out:
        return np.full(len(patients), "test", dtype="<U11")
    if not split.source_test:
        return assign_roles(patients, labels, split, seed, site)
    if tests is None:
        raise DataError(f"'{spec.data.source}' has no test set of its own; remove split.source_test")
    rest = np.flatnonzero(~np.isin(patients, patients[tests]))  # a patient is on one side only
    roles = np.full(len(patients), "test", dtype="<U11")
    roles[rest] = assign_roles(patients[rest], labels[rest], split, seed, site)
    return roles


def validation_rows(
    patients: Integers, labels: Integers, share: float, seed: int, site: str
) -> npt.NDArray[np.bool_]:
    """Mark the development records held out for selection (n,); drawn from the run's seed.

    At least one patient, where there are two: a site without any would have no say in the selection.
    """
    people, outcomes, record_of = _people(patients, labels)
    draw = np.random.default_rng(key(seed, "validation", site))
    held_out = np.zeros(len(people), dtype=bool)
    classes = range(max(2, outcomes.max(initial=0) + 1))
    groups = [draw.permutation(np.flatnonzero(outcomes == outcome)) for outcome in classes]
    for group in groups:
        held_out[group[: min(_rounded(share * len(group)), max(len(group) - 1, 0))]] = True
    if len(people) > 1 and not held_out.any():
        held_out[max(groups, key=len)[0]] = True
    return held_out[record_of]


def check_disjoint(patients: Integers, roles: Sequence[str] | npt.NDArray[np.str_], where: str) -> None:
    """Refuse a split with one patient on two sides.

    Raises:
        DataError: naming the first record that breaks the rule.
    """
    words = np.asarray(roles)
    if not len(words):
        return
    _, codes = np.unique(words.astype(str), return_inverse=True)
    _, first, person = np.unique(patients, return_index=True, return_inverse=True)
    wrong = np.flatnonzero(codes != codes[first][person])
    if len(wrong):
        record = int(wrong[0])
        raise DataError(
            f"{where}: record {record} is in '{words[record]}' and an earlier record of patient "
            f"{patients[record]} in '{words[first[person[record]]]}'; a patient may be on one side only: "
            "prepare the site again"
        )


def _people(patients: Integers, labels: Integers) -> tuple[Integers, Integers, Integers]:
    people, record_of = np.unique(patients, return_inverse=True)
    outcomes = np.zeros(len(people), dtype=np.int64)
    np.maximum.at(outcomes, record_of, labels.astype(np.int64))
    return people, outcomes, record_of


def _rounded(number: float) -> int:
    return int(number + 0.5)  # halves go up; round() would send them to the even neighbour
