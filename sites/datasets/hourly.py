"""eICU stays as hourly grids: those that YAIB (van de Water 2023) made of the eICU demo (Pollard 2018).

A folder per task (`mortality24`, `aki`, `sepsis`), each with `dyn.parquet` (stay_id, time, 48 vitals and
laboratory values), `sta.parquet` (stay_id, age, sex, height, weight) and `outc.parquet` (stay_id, label,
and a time where there is a label an hour). They name neither patient nor hospital; eICU's own
`patient.csv.gz` does: a patient with several stays is one patient here.

A row of hour h holds what was measured from h to h + 1. At the time of prediction P (`data.hours`) the rows
0 to P - 1 are known and are the input; row 24 of the mortality grids is not, at P = 24.

| outcome | P unless said | the outcome is |
|---|---|---|
| mortality | 24 | death in the hospital, after the first day |
| aki | 12 | acute kidney injury: the label becomes true in a row from P on |
| sepsis | 6 | sepsis: likewise |

The label of an hour is true from six hours before an onset to six hours after, and there the grid ends. So
these tasks foresee an onset six or more hours ahead. A stay whose label was true before P, or whose grid
ends before P, is no part of the question and goes to quarantine with this as the reason. The later P, the
fewer events are left: of 698 (aki) and 63 (sepsis) stays with one, at 6, 12, 24 and 48 hours these are 544,
395, 208, 83 and 39, 26, 14, 8. A patient who was in hospitals of two sites is two patients, as nobody could
tell without linking their records: 3 of 1,146 by region.
"""

from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from coordinator.config import Data, Site
from coordinator.errors import ConfigError
from coordinator.specs import Deal
from sites.datasets.clinical_limits import LIMITS
from sites.datasets.hourly_files import Tables, deal_tables, read_tables
from sites.grids import Events, grid, latest, plausible
from sites.reading import Feature, Reading, Series
from sites.tables import reject

HOURS: Final = {"mortality": 24.0, "aki": 12.0, "sepsis": 6.0}
VARIABLES: Final = (
    "alb", "alp", "alt", "ast", "be", "bicar", "bili", "bili_dir", "bnd", "bun", "ca", "cai", "ck", "ckmb",
    "cl", "crea", "crp", "dbp", "fgn", "fio2", "glu", "hgb", "hr", "inr_pt", "k", "lact", "lymph", "map",
    "mch", "mchc", "mcv", "methb", "mg", "na", "neut", "o2sat", "pco2", "ph", "phos", "plt", "po2", "ptt",
    "resp", "sbp", "temp", "tnt", "urine", "wbc",
)  # fmt: skip
SERIES: Final = tuple(
    Feature(name=name, kind="numeric", low=LIMITS[name][0], high=LIMITS[name][1]) for name in VARIABLES
)
FEATURES: Final = (
    *(
        Feature(name=name, kind="numeric", low=LIMITS[name][0], high=LIMITS[name][1])
        for name in ("age", "height", "weight")
    ),
    Feature(name="sex", kind="categorical"),
)
SEXES: Final = {"Female": "female", "Male": "male"}
Flags = npt.NDArray[np.bool_]


def deal(spec: Deal, out: Path) -> None:
    """Write each site's stays to `out`/SITE, with its patients' rows of `patient.csv.gz`.

    `spec.path` is the folder with both sources, as `read` takes it. A site selects regions of eICU's
    `hospital.csv.gz` (Midwest, Northeast, South, West, unknown) or numbers of hospitals, which go first.

    Raises:
        DataError: a file is missing or not as described.
    """
    deal_tables(spec, out, outcome_of(spec.data))


def read(path: Path, data: Data, site: Site) -> Reading:
    """Parse one site's stays; each is a record.

    `path` holds the tasks' folders and `patient.csv.gz`, or has them in `eicu_hourly` and `eicu_demo`.

    Raises:
        DataError: the files cannot be used as a whole.
        ConfigError: a step shorter than an hour.
    """
    if data.step_hours < 1:
        raise ConfigError(
            f"{data.step_hours} hours; the grids have a row an hour: set 1 or more", key="data.step_hours"
        )
    outcome = outcome_of(data)
    hours = data.hours or HOURS[outcome]
    with_series = not data.modalities or "series" in data.modalities
    tables = read_tables(path, outcome, VARIABLES if with_series else ())
    frame, rejected = reject(_labelled(tables, hours), _problems(tables, hours), tables.rejected)
    frame = frame.drop(columns=["stay_id"])
    if not with_series:
        return Reading(frame, FEATURES, rejected=rejected, age="age", sex="sex")
    events, outside = plausible(_events(tables, frame, hours), SERIES)
    ends = events._replace(hours=events.hours + 1)  # a row is complete at the end of its hour
    values = grid(events, len(frame), len(SERIES), hours=hours, step_hours=data.step_hours)
    return Reading(
        frame, FEATURES, Series(values, SERIES, data.step_hours), rejected=rejected, age="age", sex="sex",
        latest=latest(ends, SERIES, hours), outside=outside,
    )  # fmt: skip


def outcome_of(data: Data) -> str:
    """Say what is predicted; mortality unless said."""
    return data.outcome or "mortality"


def _labelled(tables: Tables, hours: float) -> pd.DataFrame:
    """Give every stay its patient and its label, which is 1 where the outcome comes at or after `hours`."""
    frame = tables.stays.copy()
    frame["sex"] = frame["sex"].map(SEXES).astype(object)
    frame["label"] = _when(tables, frame, hours)[1].astype(np.int64)
    frame["record_id"] = frame["stay_id"].astype(str)
    return frame


def _problems(tables: Tables, hours: float) -> dict[str, Flags]:
    stays = tables.stays
    before, _ = _when(tables, stays, hours)
    ends = stays["stay_id"].map(tables.grids.groupby("stay_id")["hour"].max()).to_numpy(dtype=np.float64)
    return {
        "no patient: patient.csv.gz lacks the stay": stays["patient_id"].isna().to_numpy(dtype=bool),
        "no outcome": ~stays["stay_id"].isin(tables.outcomes["stay_id"]).to_numpy(dtype=bool),
        "no rows in the grid": np.isnan(ends),
        "sex: neither Female nor Male": _unknown(stays["sex"]),
        "age, height or weight: not a number": _infinite(stays),
        "the outcome came before the time of prediction": before,
        "the stay ended before the time of prediction": ends < hours,
    }


def _when(tables: Tables, stays: pd.DataFrame, hours: float) -> tuple[Flags, Flags]:
    """Say of each stay whether the outcome came before `hours`, and whether it came then or later."""
    events = tables.outcomes[tables.outcomes["label"]]
    first = stays["stay_id"].map(events.groupby("stay_id")["hour"].min()).to_numpy(dtype=np.float64)
    return first < hours, first >= hours


def _unknown(words: pd.Series) -> Flags:
    return (words.notna() & ~words.isin(SEXES)).to_numpy(dtype=bool)


def _infinite(stays: pd.DataFrame) -> Flags:
    return np.isinf(stays[["age", "height", "weight"]].to_numpy(dtype=np.float64)).any(axis=1)


def _events(tables: Tables, frame: pd.DataFrame, hours: float) -> Events:
    """List the measurements known at `hours`: a row that ends later is left out, the half of an hour too."""
    places = pd.Series(np.arange(len(frame)), index=frame["record_id"].astype(np.int64))
    places = places[~places.index.duplicated()]
    rows = tables.grids[tables.grids["stay_id"].isin(places.index) & (tables.grids["hour"] + 1 <= hours)]
    values = rows[list(VARIABLES)].to_numpy(dtype=np.float64)
    row, variable = np.nonzero(np.isfinite(values))
    record = rows["stay_id"].map(places).to_numpy(dtype=np.int64)
    return Events(record[row], rows["hour"].to_numpy(dtype=np.float64)[row], variable, values[row, variable])
