"""The cohort table ("Table 1"): every variable over each site's patients, as the sites tell it."""

from typing import Any, Final

from coordinator.comparison.cohort import Summaries
from coordinator.comparison.estimates import Rows

# why a count is not there: it is of fewer patients than may be told, or would give such a count away
FEW: Final = "few"
GUARDED: Final = "guarded"


def table1_rows(summaries: Summaries) -> Rows:
    """List each variable, and each word of it, at each site.

    `patients` is what a mean or a share is of: those with the variable, or all where but a few have it. Of
    a variable itself `share` is the share of patients who lack it.
    """
    words = _words(summaries)
    return [
        {"task": task, "site": site, "variable": each["name"], "kind": each["kind"], **row}
        for (task, site), found in summaries.items()
        for each in found.get("profile", [])
        for row in (
            _variable(each, found["patients"]),
            *(_level(each, word, found["patients"]) for word in words[task, each["name"], each["kind"]]),
        )
    ]


def _variable(profile: dict[str, Any], patients: int) -> dict[str, Any]:
    missing = profile["missing"]
    return {
        "level": None, "n": profile["n"], "missing": missing, "mean": profile["mean"], "std": profile["std"],
        "share": None if missing is None else missing / patients, "patients": _known(profile, patients),
        "hidden": None if missing is not None else FEW if "missing" in profile["small"] else GUARDED,
    }  # fmt: skip


def _level(profile: dict[str, Any], level: str, patients: int) -> dict[str, Any]:
    levels, known = profile["levels"], _known(profile, patients)
    count, hidden = levels.get(level), GUARDED if level in levels else FEW
    if level not in levels and sum(each or 0 for each in levels.values()) == profile["n"]:
        count = 0  # all patients' words are counted
    return {
        "level": level, "n": count, "share": count / known if count is not None and known else None,
        "patients": known, "hidden": None if count is not None else hidden,
    }  # fmt: skip


def _known(profile: dict[str, Any], patients: int) -> int | None:
    if profile["n"] is not None:
        return int(profile["n"])
    return patients if list(profile["small"]) == ["missing"] else None


def _words(summaries: Summaries) -> dict[tuple[str, str, str], list[str]]:
    """Name the words that any site of a task names, by task, variable and kind."""
    found: dict[tuple[str, str, str], set[str]] = {}
    for (task, _), summary in summaries.items():
        for each in summary.get("profile", []):
            found.setdefault((task, each["name"], each["kind"]), set()).update(each["levels"])
    return {key: sorted(levels) for key, levels in found.items()}
