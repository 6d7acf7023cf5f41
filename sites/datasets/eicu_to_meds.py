"""An eICU folder as MEDS: one subject per patient and site, one label per stay that can be predicted.

Codes are the table and what it says, such as DIAGNOSIS//pulmonary|respiratory failure. What APACHE tells of
the first 24 hours stands at their end (or the stay's), when it became known. `eicu_times` places the stays.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from meds import birth_code, death_code

from coordinator.config import Events
from sites.datasets.eicu import OUTCOMES
from sites.datasets.eicu_events import admission_parts
from sites.datasets.eicu_features import (
    ADMISSION_PATH,
    ADMISSION_WORDS,
    APS_FLAGS,
    APS_NUMBERS,
    CODED,
    EARLIEST_MINUTES,
    FLAGS,
    HOURS,
    PRED_FLAGS,
    STAY_NUMBERS,
    SUMMARIES,
    VITALS,
)
from sites.datasets.eicu_tables import STAY, blocks, check_tables, number
from sites.datasets.eicu_times import minutes, timeline
from sites.datasets.meds_writing import write_events, write_labels

SITE: Final = "SITE//"
DAYS_OF_A_YEAR: Final = 365.25
STATIC: Final = ("gender", "ethnicity")
AT_ADMISSION: Final = ("unittype", "unitadmitsource", "unitstaytype")
OUTCOME: Final = "mortality"
# table: what its codes begin with, and what is left out of its paths for standing in nearly all of them
NAMES: Final = {
    "admissionDx": ("ADMISSION//", ADMISSION_PATH),
    "diagnosis": ("DIAGNOSIS//", ""),
    "pastHistory": ("HISTORY//", "notes/Progress Notes/Past History/Organ Systems/"),
    "treatment": ("TREATMENT//", ""),
}
ADMITTED: Final = {
    "admissionheight": "ADMISSIONHEIGHT", "admissionweight": "ADMISSIONWEIGHT",
    "hours_before_unit": "HOURS_BEFORE_UNIT",
}  # fmt: skip


def inputs() -> Events:
    """List the codes that give the inputs of the loader `eicu`, 24 hours after admission to the unit."""
    limits = {name: STAY_NUMBERS[name] for name in ADMITTED} | VITALS
    return Events(
        window_hours=HOURS - EARLIEST_MINUTES / 60,
        last=ADMITTED | {f"aps_{name}": f"APS//{name}" for name in APS_NUMBERS},
        numbers={name: f"VITAL//{name}" for name in VITALS},
        summaries=SUMMARIES,
        words={"sex": "GENDER//"}
        | {name: f"{name.upper()}//" for name in ("ethnicity", *AT_ADMISSION, *ADMISSION_WORDS)}
        | {f"aps_{name}": f"APS//{name}//" for name in APS_FLAGS}
        | {f"apache_{name}": f"APACHE//{name}//" for name in PRED_FLAGS},
        flags={
            name: tuple(NAMES[table][0] + start.removeprefix(NAMES[table][1]) for start in starts)
            for table, (_, _, flags) in CODED.items()
            for name, starts in flags.items()
        },
        limits=limits | {f"aps_{name}": each for name, each in APS_NUMBERS.items()},
        site=SITE,
    )


def convert(folder: Path, out: Path, *, by: str, hours: float) -> dict[str, int]:
    """Write a MEDS folder; returns how many subjects, stays, labels and events it has.

    Raises:
        DataError: a table is missing or damaged.
    """
    check_tables(folder)
    stays = timeline(folder, by)
    events = write_events(_events(folder, stays), out, subjects=int(stays["subject_id"].nunique()))
    predicted = _labels(stays, hours)
    write_labels(predicted, out, OUTCOME)
    subjects = int(stays["subject_id"].nunique())
    return {"subjects": subjects, "stays": len(stays), "labels": len(predicted), "events": events}


def _events(folder: Path, stays: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Give blocks of subject_id, time (NaT: static), code, numeric_value (NaN: none)."""
    yield from _of_stays(stays)
    yield from _of_apache(folder, stays)
    for table, (time, code, _) in CODED.items():
        for block in _placed(folder, table, time, (code,), stays):
            prefix, usual = NAMES[table]
            yield _coded(block, prefix + block[code].str.removeprefix(usual))
            if table == "admissionDx":
                for name, words in admission_parts(block[code]).items():
                    yield _coded(block, f"{name.upper()}//" + words)
    for block in _placed(folder, "vitalAperiodic", "observationoffset", tuple(VITALS), stays):
        for name in VITALS:
            yield _numeric(block, f"VITAL//{name}", number(block[name])[0])
    for block in _placed(folder, "lab", "labresultoffset", ("labname", "labresult"), stays):
        yield _numeric(block, "LAB//" + block["labname"].str.strip(), number(block["labresult"])[0])


def _of_stays(stays: pd.DataFrame) -> Iterator[pd.DataFrame]:
    first = stays.sort_values("start").drop_duplicates("subject_id")
    years = pd.to_timedelta(first["age"] * DAYS_OF_A_YEAR, unit="D").astype("timedelta64[us]")
    yield _coded(first.assign(time=first["start"] - years).dropna(subset="age"), birth_code)
    static = stays.assign(time=pd.NaT).drop_duplicates("subject_id")
    yield _coded(static, SITE + static["site"])
    for name in STATIC:
        yield _coded(static, f"{name.upper()}//" + static[name].str.strip())
    admitted = stays.assign(time=stays["start"])
    for name in AT_ADMISSION:
        yield _coded(admitted, f"{name.upper()}//" + stays[name].str.strip())
    admitted = admitted.assign(hours_before_unit=-stays["hospitaladmitoffset"] / 60)
    for name, code in ADMITTED.items():
        yield _numeric(admitted, code, admitted[name].to_numpy())
    left = stays.assign(time=stays["start"] + minutes(stays["unitdischargeoffset"])).dropna(subset="time")
    yield _coded(left, "UNIT_DISCHARGE")
    dead = stays[_outcome(stays) == 1].drop_duplicates("subject_id", keep="last")
    yield _coded(
        dead.assign(time=dead["start"] + minutes(dead["hospitaldischargeoffset"])).dropna(subset="time"),
        death_code,
    )


def _of_apache(folder: Path, stays: pd.DataFrame) -> Iterator[pd.DataFrame]:
    known = stays["unitdischargeoffset"].clip(lower=0).fillna(60 * HOURS).clip(upper=60 * HOURS)
    ended = stays.assign(known=known)
    for table, name, numbers, words in (
        ("apacheApsVar", "APS", tuple(APS_NUMBERS), APS_FLAGS), ("apachePredVar", "APACHE", (), PRED_FLAGS),
    ):  # fmt: skip
        for block in blocks(folder, table, (STAY, *numbers, *words)):
            block = block.join(ended[["subject_id", "start", "known"]], on=STAY, how="inner")
            block = block.assign(time=block["start"] + minutes(block["known"]))
            for column in numbers:
                yield _numeric(block, f"{name}//{column}", number(block[column], no_value="-1")[0])
            for column in words:
                yield _coded(block, f"{name}//{column}//" + block[column].str.strip().map(FLAGS))


def _placed(
    folder: Path, table: str, time: str, columns: tuple[str, ...], stays: pd.DataFrame
) -> Iterator[pd.DataFrame]:
    """Give a table's rows with their subject and time; one without a time is left out."""
    for block in blocks(folder, table, (STAY, time, *columns)):
        block = block.join(stays[["subject_id", "start"]], on=STAY, how="inner")
        offset, _ = number(block[time])
        block = block.assign(time=block["start"] + minutes(pd.Series(offset, index=block.index)))
        yield block.dropna(subset="time")


def _coded(rows: pd.DataFrame, codes: "str | pd.Series") -> pd.DataFrame:
    found = rows[["subject_id", "time"]].assign(code=codes, numeric_value=np.nan)
    return found.dropna(subset="code")


def _numeric(rows: pd.DataFrame, codes: "str | pd.Series", values: np.ndarray) -> pd.DataFrame:
    found = rows[["subject_id", "time"]].assign(code=codes, numeric_value=values)
    return found.dropna(subset=["code", "numeric_value"])


def _outcome(stays: pd.DataFrame) -> pd.Series:
    return stays["hospitaldischargestatus"].str.strip().str.lower().map(OUTCOMES)


def _labels(stays: pd.DataFrame, hours: float) -> pd.DataFrame:
    """Label the stays that outlast the time of prediction and whose outcome is known."""
    outcome = _outcome(stays)
    predicted = stays[outcome.notna() & (stays["unitdischargeoffset"] > 60 * hours)]
    time = predicted["start"] + pd.Timedelta(hours=hours)
    found = pd.DataFrame(
        {
            "subject_id": predicted["subject_id"],
            "prediction_time": time,
            "boolean_value": outcome[predicted.index] == 1,
        }
    )
    return found.sort_values(["subject_id", "prediction_time"], kind="stable")
