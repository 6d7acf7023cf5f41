"""Who a site's records are about: counts, age and sex, and what a reader of results must know."""

import pandas as pd

from sites.prepared import Count
from sites.split import ROLES

SMALLEST_GROUP = 10  # an average of fewer patients says too much about each
SMALLEST_CELL = 5


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
    return tuple(
        f"all {roles[role].records} {role} records have outcome {int(roles[role].events > 0)}: {consequence}"
        for role, consequence in meaning.items()
        if roles[role].events in (0, roles[role].records)
    )


def demographics(frame: pd.DataFrame, age: str | None, sex: str | None) -> dict[str, float]:
    """Mean age (years) and share of women over patients, where known and the groups are not small."""
    patients = frame.drop_duplicates("patient_id")
    found = {}
    if age and patients[age].notna().sum() >= SMALLEST_GROUP:
        found["age_mean"] = round(float(patients[age].mean()), 1)
    if sex and patients[sex].notna().sum() >= SMALLEST_GROUP:
        women = int((patients[sex] == "female").sum())
        men = int((patients[sex] == "male").sum())
        # an exact share of a few women among known numbers would count them
        if min(women, men) == 0 or min(women, men) >= SMALLEST_CELL:
            found["female_share"] = round(women / (women + men), 3)
    return found
