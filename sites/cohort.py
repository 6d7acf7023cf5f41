"""Who a site's records are about: counts, age and sex, and what a reader of results must know."""

import numpy as np
import pandas as pd

from sites.cells import small
from sites.prepared import Count
from sites.split import ROLES

SMALLEST_GROUP = 10  # an average of fewer patients says too much about each


def role_counts(records: pd.DataFrame) -> dict[str, Count]:
    """Count records, patients and events of each role."""
    groups = {role: records[records["role"] == role] for role in ROLES}
    return {
        role: Count(
            records=len(group), patients=int(group["patient"].nunique()), events=int(group["label"].sum())
        )
        for role, group in groups.items()
    }


def warnings_about(roles: dict[str, Count]) -> tuple[str, ...]:
    """Say where a site has one outcome only: it trains all the same, but cannot be ranked."""
    meaning = {
        "development": "the site trains, and teaches the model one outcome only",
        "test": "its AUROC is undefined",
    }
    nothing = {"development": "the site only tests", "test": "the site only trains"}
    empty = [f"no {role} record: {nothing[role]}" for role in nothing if not roles[role].records]
    one_sided = [
        f"all {count.records} {role} records have outcome "
        f"{int(count.events == count.records)}: {meaning[role]}"
        for role, count in roles.items()
        if role in meaning and count.records and count.events in (0, count.records)
    ]
    return (*empty, *one_sided)


def without_few(
    roles: dict[str, Count], records: pd.DataFrame, min_cell: int
) -> tuple[dict[str, Count], int | None]:
    """Leave outcomes out that are of a few patients; returns the roles' counts and the site's events.

    If any role has few patients with the outcome, or few without, no role's are told: their sum would give
    one away. How many patients a role has says nothing about them, and that none or all have the outcome is
    told, as such a site cannot be ranked.
    """
    events = int(records["label"].sum())
    told = None if _few(records, min_cell) else events
    if any(_few(records[records["role"] == role], min_cell) for role in roles):
        roles = {role: count.model_copy(update={"events": None}) for role, count in roles.items()}
    return roles, told


def unsaid(roles: dict[str, Count]) -> tuple[dict[str, Count], None]:
    """Count no events: there are more than two classes, which the cohort table counts."""
    return {role: count.model_copy(update={"events": None}) for role, count in roles.items()}, None


def _few(records: pd.DataFrame, min_cell: int) -> bool:
    patients = [records.loc[records["label"] == label, "patient"].nunique() for label in (0, 1)]
    return bool(small(np.array(patients), min_cell).any())


def demographics(frame: pd.DataFrame, age: str | None, sex: str | None, min_cell: int) -> dict[str, float]:
    """Mean age (years) and share of women over patients, where known and the groups are not small."""
    patients = frame.drop_duplicates("patient_id")
    found = {}
    if age and patients[age].notna().sum() >= max(SMALLEST_GROUP, min_cell):
        found["age_mean"] = round(float(patients[age].mean()), 1)
    if sex and patients[sex].notna().sum() >= max(SMALLEST_GROUP, min_cell):
        women, men = (int((patients[sex] == word).sum()) for word in ("female", "male"))
        # an exact share among known numbers would count a few women, men, or patients of no known sex; a
        # table may code sex otherwise
        cells = np.array([women, men, len(patients) - women - men])
        if women + men and not small(cells, min_cell).any():
            found["female_share"] = round(women / (women + men), 3)
    return found
