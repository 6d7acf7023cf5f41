"""How the columns of a run's released test scores are called.

Apart from what reads them: a party that trains needs these names alone.
"""

COLUMNS = ("record", "patient", "label", "score")
GROUPS = ("sex", "age_band")


def score_columns(classes: tuple[str, ...], name: str = "score") -> tuple[str, ...]:
    """Name the columns of scores: one, or one for each of several classes."""
    return tuple(f"{name}_{each}" for each in classes) or (name,)
