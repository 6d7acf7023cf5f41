"""Is split learning more private than federated? What attacks found of each, by what is learned and by whom.

Attacks give floors. So "less" is said only where a validated attack was tried on the split arm, and knew of
its defence where it has one; "more" is said of what was found, and `found_more` where no validated attack was
tried on the federated one.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from coordinator.attacks.adapted import knew_none
from coordinator.attacks.catalog import is_validated
from coordinator.comparison.estimates import Rows
from coordinator.specs import Evaluation

# what is learned: how targets begin, and the measure; all rise with what is learned
ASSETS: Final[Mapping[str, tuple[str, str]]] = {
    "tables": ("table", "features_recovered"),
    "series": ("series", "within_tolerance"),
    "images": ("image", "psnr"),
    "sex": ("table", "auroc_sex"),
    "age": ("table", "auroc_age_65"),
    "labels": ("labels", "auroc"),
    "membership": ("membership", "auroc"),
}
WHAT_IF: Final = "from a gradient"  # no arm of the study sent that
# who may do more may do this as well
ALSO: Final[Mapping[str, tuple[str, ...]]] = {
    "curious_coordinator": ("curious_coordinator",),
    "collusion": ("collusion", "curious_coordinator"),
    "malicious_coordinator": ("malicious_coordinator", "curious_coordinator"),
    "curious_site": ("curious_site",),
    "outsider": ("outsider",),
}


class Found(NamedTuple):
    """The strongest attack's result, beside a trivial guess; whether a validated one was tried."""

    attack: str
    value: float
    baseline: float
    low: float
    high: float
    validated: bool
    target: str = ""


def private_rows(spec: Evaluation, attacks: Rows) -> Rows:
    """Compare every split strategy with the first federated one of its task, in the first seed's runs."""
    rows: Rows = []
    for task in spec.study.tasks:
        runs = [run for run in spec.runs.values() if run.task == task]
        first = str(min((run.seed for run in runs), default=0))
        own = [row for row in attacks if row["task"] == task and str(row["seed"]) == first]
        federated = next((run.strategy for run in runs if run.algorithm == "federated"), None)
        splits = dict.fromkeys(run.strategy for run in runs if run.algorithm == "split")
        if federated is not None:
            rows += [
                {"task": task, "strategy": strategy, "reference": federated, **found}
                for strategy in splits
                for found in _compared(own, strategy, federated)
            ]
    return rows


def plain(sent: Rows) -> Rows:
    """Give labels that are simply sent as what an attacker knows of them: all."""
    return [
        {**row, "measure": "auroc", "value": 1.0, "baseline": 0.5, "ci_low": "", "ci_high": ""}
        for row in sent
        if row["target"] == "labels" and float(row["value"] or 0) > 0
    ]


def _compared(rows: Rows, strategy: str, reference: str) -> Iterable[dict[str, Any]]:
    for asset, (_, measure) in ASSETS.items():
        for model in ALSO:
            own = strongest(rows, strategy, asset, model)
            other = strongest(rows, reference, asset, model)
            if own and other and is_new(rows, strategy, asset, model):
                yield {
                    "asset": asset, "threat_model": model, "measure": measure,
                    **_told(own), **{f"reference_{name}": value for name, value in _told(other).items()},
                    "verdict": verdict(own, other),
                }  # fmt: skip


def _told(found: Found) -> dict[str, Any]:
    return {name: value for name, value in found._asdict().items() if name != "target"}


def strongest(rows: Rows, strategy: str, asset: str, model: str) -> Found | None:
    """Give what the strongest attack found that such an attacker can make; None where none was tried."""
    tried = [
        row
        for row in rows
        if row["strategy"] == strategy and row["threat_model"] in ALSO[model] and _is_of(row, asset)
    ]
    if not tried:
        return None
    best = max(tried, key=lambda row: float(row["value"]) - float(row["baseline"]))
    value, baseline = float(best["value"]), float(best["baseline"])
    ends = [float(best[end]) if best[end] else value for end in ("ci_low", "ci_high")]
    validated = any(
        is_validated(row["attack"], row["target"]) and not knew_none(row["target"]) for row in tried
    )
    return Found(best["attack"], value, baseline, ends[0], ends[1], validated, best["target"])


def verdict(own: Found, other: Found) -> str:
    """Say `more`, `found_more`, `less` or `unshown` of what leaks beyond the trivial guess.

    Where a trivial guess finds nearly all, as among few records, little lies beyond it: so what is found must
    differ the same way by itself.
    """
    if own.value > other.value and own.low - own.baseline > max(0.0, other.high - other.baseline):
        return "more" if other.validated else "found_more"
    less = own.value < other.value and own.high - own.baseline < other.low - other.baseline
    if less and own.validated:
        return "less"
    return "unshown"


def _is_of(row: Mapping[str, Any], asset: str) -> bool:
    begins, measure = ASSETS[asset]
    target = row["target"]
    return target.startswith(begins) and row["measure"] == measure and WHAT_IF not in target


def is_new(rows: Rows, strategy: str, asset: str, model: str) -> bool:
    """Say whether such an attacker was tried itself, beside the weaker ones it includes."""
    return any(
        row["strategy"] == strategy and row["threat_model"] == model and _is_of(row, asset) for row in rows
    )
