"""How well each strategy predicts for women and men, and in each age band: all sites together."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from coordinator.comparison import delong
from coordinator.comparison.estimates import Rows
from coordinator.comparison.predictions import TaskScores
from coordinator.metrics import ONE_CLASS, Labels, Scores

Members = NDArray[np.int64]  # numbers of records
UNKNOWN = "unknown"
FEW, GUARDED = "few", "guarded"


def subgroup_rows(scores: TaskScores, min_cell: int) -> Rows:
    """List the AUROC of each subgroup, mean over seeds, with DeLong's interval, its records and outcomes.

    A subgroup of fewer than `min_cell` patients is hidden, and so is the next smallest where that is the only
    one, since the whole is known. Likewise outcomes that fewer have, or lack, with the AUROC of them.
    """
    _, patient = np.unique(np.stack([scores.site, scores.patient]), axis=1, return_inverse=True)
    rows: Rows = []
    for variable, group in scores.groups.items():
        members = {str(name): np.flatnonzero(group == name) for name in np.unique(group)}
        shown = _shown(scores, members, patient.reshape(-1), min_cell)
        for name, each in members.items():
            cell = {"task": scores.task, "variable": variable, "group": name or UNKNOWN, **shown[name]}
            known = "events" in cell
            rows += [
                {**cell, "strategy": strategy, **(_value(scores, strategy, each, patient) if known else {})}
                for strategy in scores.scores
            ]
    return rows


def _shown(
    scores: TaskScores, members: dict[str, Members], patient: Members, min_cell: int
) -> dict[str, dict[str, Any]]:
    """Give what is told of each group before any score: its records and outcomes, or why not."""
    patients = {name: len(np.unique(patient[each])) for name, each in members.items()}
    rarer = {name: _rarer(scores.label[each], patient[each]) for name, each in members.items()}
    hidden = small(patients, min_cell)
    kept = {name: n for name, n in rarer.items() if n and not hidden[name]}
    hidden_outcome = small(kept, min_cell)
    found: dict[str, dict[str, Any]] = {}
    for name, each in members.items():
        found[name] = {"hidden": hidden[name] or hidden_outcome.get(name)}
        if not hidden[name]:
            found[name]["n"] = len(each)
        if not found[name]["hidden"]:
            found[name]["events"] = int(scores.label[each].sum())
    return found


def _rarer(label: Labels, patient: Members) -> int:
    """Count the patients with the rarer outcome."""
    return min(len(np.unique(patient[label == outcome])) for outcome in (0, 1))


def small(counts: dict[str, int], min_cell: int) -> dict[str, str | None]:
    """Say why a group's count is not told, None where it is."""
    hidden: dict[str, str | None] = {name: FEW if n < min_cell else None for name, n in counts.items()}
    others = [name for name in hidden if not hidden[name]]
    if len(hidden) - len(others) == 1 and others:
        hidden[min(others, key=lambda name: counts[name])] = GUARDED
    return hidden


def _value(scores: TaskScores, strategy: str, members: Members, patient: Members) -> dict[str, Any]:
    label = scores.label[members]
    found = [score[members] for score in scores.scores[strategy].values()]
    if label.min() == label.max():
        return {"reason": ONE_CLASS}
    if not np.isfinite(found).all():
        return {"reason": "not every record has a score"}
    return _auroc(label, patient.reshape(-1)[members], found)


def _auroc(label: Labels, patient: NDArray[np.int64], found: list[Scores]) -> dict[str, float | None]:
    placed = np.mean([delong.placements(label, score) for score in found], axis=0)
    area = float(placed[label == 1].mean())
    low, high = delong.interval(area, delong.variance(label, patient, placed))
    return {"value": area, "ci_low": low, "ci_high": high}
