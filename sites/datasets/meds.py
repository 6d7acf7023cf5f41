"""MEDS, the Medical Event Data Standard: events and labels, the road for MIMIC-IV and OMOP.

The study lists the codes that become inputs (`data.events`), so that sites agree on them without looking at a
row; `metadata/codes.parquet` could not serve, for each hospital writes its own, with the codes of its own
patients. The time of prediction is each label's; MEDS allows what was recorded until then, that moment
included. A site is a folder; or one folder holds all sites' subjects, and a static code says whose each is.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from coordinator.config import Data, Events, Site
from coordinator.errors import ConfigError, DataError
from sites.datasets import meds_features, meds_files
from sites.datasets.meds_deal import deal, groups
from sites.grids import Events as Measured
from sites.grids import grid, plausible
from sites.reading import SOURCE_TEST, Reading, Series
from sites.tables import reject

__all__ = ["deal", "groups", "read"]


def read(path: Path, data: Data, site: Site) -> Reading:
    """Read one site's folder; each label is a record.

    Raises:
        ConfigError: the study does not say which codes are inputs.
        DataError: a file is missing, damaged or not MEDS, or none of the codes is in the data.
    """
    if data.events is None:
        raise ConfigError("'meds' needs to know which codes are inputs; add events", key="data.events")
    chosen = data.events
    labels = _labels(path, data.outcome)
    known = meds_features.known(path, labels, chosen)
    if known.events.empty:
        raise DataError(
            f"{path}: none of the codes that the study lists in data.events precedes a label; correct the "
            "codes, or convert the data with the same vocabulary"
        )
    frame = pd.concat([labels, meds_features.table(known.events, labels, chosen)], axis=1)
    absent = ~labels["subject_id"].isin(known.subjects).to_numpy(dtype=bool)
    kept = np.flatnonzero(~absent)
    frame, rejected = reject(frame, {"no event of the subject": absent}, [])
    return Reading(
        frame.drop(columns=["subject_id", "prediction_time"]),
        meds_features.features(chosen),
        series=_series(known.events, chosen, data.step_hours, kept) if _has_series(data) else None,
        rejected=rejected,
        age="age" if chosen.age else None,
        sex="sex" if "sex" in chosen.words else None,
        latest=meds_features.latest(known.events, chosen),
        outside=meds_features.outside(known.events, chosen),
    )


def _labels(path: Path, outcome: str | None) -> pd.DataFrame:
    """Read the labels with the columns of `PLACE`."""
    parts = []
    for file in meds_files.label_files(path, outcome):
        frame = meds_files.labels(file).to_pandas()
        frame["file"], frame["row"] = file.name, np.arange(1, len(frame) + 1)
        parts.append(frame)
    frame = pd.concat(parts, ignore_index=True)
    frame["patient_id"] = frame["subject_id"].astype(str)
    times = frame["prediction_time"].dt.strftime("%Y-%m-%dT%H:%M:%S.%f")
    frame["record_id"] = frame["patient_id"] + " " + times
    frame["label"] = frame.pop("boolean_value").astype(np.int64)
    held_out = meds_files.held_out(path)
    if held_out is not None:
        frame[SOURCE_TEST] = frame["subject_id"].isin(held_out)
    return frame


def _has_series(data: Data) -> bool:
    asked = not data.modalities or "series" in data.modalities
    return asked and data.events is not None and bool(data.events.window_hours and data.events.numbers)


def _series(events: pd.DataFrame, chosen: Events, step_hours: float, kept: np.ndarray) -> Series:
    """Put the numbers of the window on a grid that ends at the time of prediction."""
    hours, found = float(chosen.window_hours or 0), meds_features.variables(chosen)
    place = {code: number for number, code in enumerate(chosen.numbers.values())}
    row = pd.Series(np.arange(len(kept)), index=kept)
    timed = events["hours"].notna() & events["value"].notna() & events["code"].isin(place)
    own = events[timed & events["label"].isin(kept)]
    since = own["hours"].to_numpy() + hours
    measured = Measured(
        own["label"].map(row).to_numpy(dtype=np.int64),
        np.minimum(since, hours * (1 - 1e-6)),  # what was recorded at the prediction belongs to the last step
        own["code"].map(place).to_numpy(dtype=np.int64),
        own["value"].to_numpy(dtype=np.float64),
    )
    usable, _ = plausible(measured, found)
    values = grid(usable, len(kept), len(found), hours=hours, step_hours=step_hours)
    return Series(values, found, step_hours)
