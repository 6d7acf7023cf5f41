"""Holds gradient inversion against federated updates: TabLeak for tables, Inverting Gradients for all."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from coordinator.attacks.effort import Effort
from coordinator.attacks.gradient_inversion import Objective, invert
from coordinator.attacks.layout import MAKERS, Layout
from coordinator.attacks.local_round import Update
from coordinator.attacks.tableak import rows_matched, tableak, word_columns
from coordinator.draws import key
from sites import leakage
from sites.attacked import Attacked, Hospital, Rows, rows_of
from sites.gallery import show
from sites.leakage import Measure
from sites.scene import laid_flat, together
from sites.scoring import scored
from sites.updates import inputs_of_site, one_gradient, recorded_sum, recorded_update

Floats = NDArray[np.float32]
WHO: Final = "curious_coordinator"
BATCH: Final = 8  # records of the gradient that is inverted beside the recorded update
SURE: Final = 0.25  # share of cells that an ensemble agrees on most
# name: objective, descent by sign; of both the labels are searched
INVERSIONS: Final[Mapping[str, tuple[Objective, bool]]] = {
    "inverting_gradients": ("cosine", True),
    "dlg": ("squared", False),
}


def update_rows(attacked: Attacked, effort: Effort) -> Rows:
    """Invert the recorded update of the site with fewest records, and gradients of few of its records."""
    auxiliary = sum(len(each.roles["auxiliary"].labels) for each in attacked.hospitals)
    if attacked.run.algorithm != "federated" or not auxiliary:
        return []
    site = fewest(attacked.hospitals)
    hospital = attacked.hospitals[site]
    rows: Rows = []
    if (update := recorded_update(attacked, site)) is not None:
        truth = inputs_of_site(hospital, slice(None))
        labels = hospital.roles["train"].labels
        rows += inverted_rows(attacked, effort, [(update, truth, labels, None)], "an update", WHO)
        rows += gradient_rows(attacked, effort)
    if (summed := recorded_sum(attacked)) is not None:
        every = [_of_all(attacked, *summed)]
        rows += inverted_rows(attacked, effort, every, "the sum of all updates", WHO)
    return rows


def gradient_rows(attacked: Attacked, effort: Effort) -> Rows:
    """Invert gradients of few records, which no run sent, of the site with fewest: the sources' setting."""
    hospital = attacked.hospitals[fewest(attacked.hospitals)]
    if len(hospital.roles["train"].labels) < BATCH:
        return []
    gradients = _gradients(attacked, hospital, effort)
    return inverted_rows(attacked, effort, gradients, f"a gradient of {BATCH}", WHO)


def _of_all(attacked: Attacked, update: Update, sites: list[int]) -> "Target":
    """Put the records of all sites that took part beside the average of their updates."""
    there = [attacked.hospitals[site] for site in sites]
    truth = _joined([inputs_of_site(hospital, slice(None)) for hospital in there])
    return update, truth, np.concatenate([each.roles["train"].labels for each in there]), None


def fewest(hospitals: list[Hospital]) -> int:
    """Number the site with fewest training records, of those that have any: its update tells most of each."""
    counts = [len(hospital.roles["train"].labels) for hospital in hospitals]
    return int(np.argmin([count or max(counts) + 1 for count in counts]))


Target = tuple[Update, Mapping[str, Floats], Floats, Tensor | None]  # records, labels, labels if known


def _gradients(attacked: Attacked, hospital: Hospital, effort: Effort) -> list[Target]:
    order = np.random.default_rng(key(attacked.run.seed, "gradient")).permutation(
        len(hospital.roles["train"].labels)
    )
    found: list[Target] = []
    for number in range(min(effort.batches, len(order) // BATCH)):
        records = order[number * BATCH : (number + 1) * BATCH]
        update, labels = one_gradient(attacked, hospital, records)
        found.append((update, inputs_of_site(hospital, records), labels.numpy(), labels))
    return found


def inverted_rows(attacked: Attacked, effort: Effort, targets: list[Target], what: str, who: str) -> Rows:
    """Invert updates of one kind by each attack, and score records and labels."""
    names = ["inverting_gradients", *(["dlg"] if effort.members > 3 else [])]
    rows: Rows = []
    if set(attacked.statistics["input_shapes"]) == {"table"}:
        rows += _tableak(attacked, effort, targets, what, who)
    for name in names:
        found = [_inverted(attacked, effort, target, name) for target in targets]
        rows += _scored(
            attacked, name, (what, who), _joined([each for each, _ in found]),
            _joined([each[1] for each in targets]),
        )  # fmt: skip
        if targets[0][3] is None:
            told = leakage.inferred(targets[0][2].astype(np.int64), found[0][1])
            rows += rows_of(name, f"labels from {what}", who, told)
    return rows


def _tableak(attacked: Attacked, effort: Effort, targets: list[Target], what: str, who: str) -> Rows:
    layout, seed = Layout.of(attacked.statistics), attacked.run.seed
    tables, truths, doubts = [], [], []
    for number, (update, truth, _, labels) in enumerate(targets):
        leaked = tableak(
            update, layout, iterations=_iterations(effort, update), members=effort.members,
            seed=key(seed, number) >> 1, labels=labels,
        )  # fmt: skip
        order = rows_matched(truth["table"].astype(np.float64), leaked.table)
        tables.append(leaked.table[order].astype(np.float32))
        doubts.append(leaked.uncertainty[order])
        truths.append(truth)
    guess, truth = {"table": np.concatenate(tables)}, _joined(truths)
    sure = _sure(attacked, guess["table"], truth["table"], np.concatenate(doubts))
    rows = _scored(attacked, "tableak", (what, who), guess, truth)
    return rows + rows_of("tableak", f"table from {what}", who, sure)


def _sure(attacked: Attacked, guess: Floats, truth: Floats, doubt: NDArray[np.float64]) -> list[Measure]:
    """Score the quarter of cells that the ensemble agrees on most, feature by feature."""
    layout, trivial = Layout.of(attacked.statistics), mean_record(attacked)["table"]
    words = word_columns(layout)
    right, base = (leakage.recovered(truth, each, layout.numbers, words) for each in (guess, trivial[None]))
    sure = doubt <= np.quantile(doubt, SURE, axis=0)
    return [leakage.over_records("recovered_where_sure", right, base, sure, attacked.run.seed)]


def mean_record(attacked: Attacked) -> dict[str, Floats]:
    """Give the mean auxiliary record by modality."""
    own = together([each.roles["auxiliary"] for each in attacked.hospitals])
    return {name: values.mean(axis=0) for name, values in own.items()}


def _inverted(
    attacked: Attacked, effort: Effort, target: Target, name: str
) -> tuple[dict[str, Floats], Floats]:
    """Invert one target: records and labels, in the order of the records they are nearest to."""
    update, truth, _, labels = target
    layout, (objective, signed) = Layout.of(attacked.statistics), INVERSIONS[name]
    found = invert(
        update, layout, objective=objective, signed=signed, iterations=_iterations(effort, update),
        seed=key(attacked.run.seed, name) >> 1, labels=labels,
    )  # fmt: skip
    guess = {each: MAKERS[each](layout, value).numpy() for each, value in found.free.items()}
    order = rows_matched(laid_flat(truth).astype(np.float64), laid_flat(guess).astype(np.float64))
    return {each: values[order] for each, values in guess.items()}, found.labels.numpy()[order]


def _iterations(effort: Effort, update: Update) -> int:
    return max(20, effort.updates // sum(len(share.steps) for share in update.shares))


def _joined(several: Sequence[Mapping[str, Floats]]) -> dict[str, Floats]:
    return {name: np.concatenate([each[name] for each in several]) for name in several[0]}


def _scored(
    attacked: Attacked, name: str, of: tuple[str, str], guess: Mapping[str, Floats],
    truth: Mapping[str, Floats],
) -> Rows:  # fmt: skip
    """Score a guess at what by whom."""
    what, who = of
    auxiliary = together([each.roles["auxiliary"] for each in attacked.hospitals])
    show(attacked, name, guess, truth, auxiliary)
    chance = _by_chance(auxiliary, truth, attacked.run.seed)
    found, trivial = (
        scored(each, truth, auxiliary, attacked.statistics, attacked.run.seed) for each in (guess, chance)
    )
    return [
        row
        for modality, measures in found.items()
        for row in rows_of(name, f"{modality} from {what}", who, beside(measures, trivial[modality]))
    ]


def _by_chance(auxiliary: Mapping[str, Floats], truth: Mapping[str, Floats], seed: int) -> dict[str, Floats]:
    """Draw auxiliary records and bring them into the truth's order, as guesses are: that alone helps."""
    count, most = len(next(iter(truth.values()))), len(next(iter(auxiliary.values())))
    drawn = np.random.default_rng(key(seed, "by chance")).choice(most, size=count, replace=count > most)
    guess = {name: values[drawn] for name, values in auxiliary.items() if name != "present"}
    order = rows_matched(laid_flat(truth).astype(np.float64), laid_flat(guess).astype(np.float64))
    return {name: values[order] for name, values in guess.items()}


def beside(measures: list[Measure], chance: list[Measure]) -> list[Measure]:
    """Put the better of the mean record and of records by chance beside each measure."""
    better = [
        (min if own.measure == "mae" else max)(own.baseline, other.value)
        for own, other in zip(measures, chance, strict=True)
    ]
    return [own._replace(baseline=base) for own, base in zip(measures, better, strict=True)]
