"""When something was recorded, as hours after the time of prediction."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from coordinator.errors import DataError
from sites.tables import Flags, numbers

Floats = npt.NDArray[np.float64]


def hours_after(raw: pd.DataFrame, time: str, prediction: str, path: Path) -> tuple[Floats, Flags]:
    """Give the hours from the prediction to a column's times (below 0: before), and where that is unknown.

    Both columns hold hours since the same moment, or dates with times (ISO 8601, without a zone: the same).

    Raises:
        DataError: one holds hours and the other dates.
    """
    (recorded, dated), (predicted, predicts_on_date) = _times(raw[time]), _times(raw[prediction])
    if dated != predicts_on_date:
        raise DataError(
            f"{path}: '{time}' holds {'dates' if dated else 'hours'} and '{prediction}' "
            f"{'dates' if predicts_on_date else 'hours'}; export both as one kind"
        )
    hours = recorded - predicted
    return hours, np.isnan(hours)


def _times(cells: pd.Series) -> tuple[Floats, bool]:
    """Read a column as hours, or, where most of its cells are no numbers, as dates (hours since 1970)."""
    hours, wrong = numbers(cells)
    if 2 * wrong.sum() <= np.isfinite(hours).sum() + wrong.sum():
        return hours, False
    dates = pd.to_datetime(cells.str.strip(), format="ISO8601", errors="coerce", utc=True)
    since = (dates - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(hours=1)
    return since.to_numpy(dtype=np.float64), True
