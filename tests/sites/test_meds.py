"""MEDS: events until the time of prediction, by hand and from eICU, whose own loader gives the same."""

import json
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from meds import DataSchema, LabelSchema

from coordinator.config import Data, Events, Site
from coordinator.errors import ConfigError, DataError
from coordinator.specs import Deal
from sites.datasets import eicu, meds
from sites.datasets.eicu_times import timeline
from sites.datasets.eicu_to_meds import convert, inputs
from sites.prepare import prepare

ROOT = Path(__file__).resolve().parents[2]
NOON = datetime(2030, 1, 2, 12)
CHOSEN = Events(
    window_hours=24, last={"creatinine": "LAB//creatinine"}, numbers={"heart_rate": "VITAL//hr"},
    summaries=("last", "min", "max", "mean", "count"), words={"sex": "GENDER//"},
    flags={"sepsis": ("DX//sepsis",)}, limits={"heart_rate": (20, 250)}, site="SITE//",
)  # fmt: skip
DATA = Data(source="meds", events=CHOSEN, step_hours=6.0)
HERE = Site(name="north")


def hours(count: float) -> datetime:
    return NOON + timedelta(hours=count)


def events_of(subject: int, *events: tuple[datetime | None, str, float | None]) -> list[dict[str, object]]:
    names = ("time", "code", "numeric_value")
    return [{"subject_id": subject, **dict(zip(names, event, strict=True))} for event in events]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write a conforming folder by hand: three subjects in two shards, a label each, one twice."""
    ordinary = events_of(
        1, (None, "GENDER//F", None), (None, "SITE//north", None), (datetime(1980, 1, 2), "MEDS_BIRTH", None),
        (hours(-30), "VITAL//hr", 111.0), (hours(-23), "VITAL//hr", 80.0), (hours(-5), "VITAL//hr", 90.0),
        (hours(-4), "LAB//creatinine", 1.5), (hours(-3), "DX//sepsis|severe", None),
        (NOON, "VITAL//hr", 100.0),
        (hours(1), "VITAL//hr", 170.0), (hours(2), "LAB//creatinine", 9.0), (hours(48), "MEDS_DEATH", None),
    )  # fmt: skip
    plain = events_of(
        2, (None, "GENDER//M", None), (None, "SITE//south", None), (hours(-1), "VITAL//hr", 900.0)
    )
    other = events_of(3, (None, "SITE//south", None), (hours(-2), "LAB//creatinine", 0.7))
    (tmp_path / "data").mkdir()
    for name, rows in (("0.parquet", ordinary + plain), ("1.parquet", other)):
        pq.write_table(DataSchema.align(pa.Table.from_pylist(rows)), tmp_path / "data" / name)
    labels = [(1, 0.0, True), (1, -10.0, False), (2, 0.0, False), (3, 0.0, False)]
    rows = [{"subject_id": s, "prediction_time": hours(h), "boolean_value": b} for s, h, b in labels]
    (tmp_path / "labels").mkdir()
    pq.write_table(LabelSchema.align(pa.Table.from_pylist(rows)), tmp_path / "labels" / "death.parquet")
    return tmp_path


def row(reading, record: str) -> pd.Series:
    return reading.frame.set_index("record_id").loc[record]


def record(subject: int, after: float = 0.0) -> str:
    return f"{subject} {hours(after):%Y-%m-%dT%H:%M:%S.%f}"


def test_a_window_ends_with_the_prediction(folder):
    found = meds.read(folder, DATA, HERE)
    assert len(found.frame) == 4
    first = row(found, record(1))
    expected = {"last": 100, "min": 80, "max": 100, "mean": 90, "count": 3}
    assert {name: first[f"heart_rate_{name}"] for name in expected} == expected
    assert (first["creatinine"], first["sepsis"], first["sex"], first["label"]) == (1.5, "yes", "female", 1)
    assert np.floor(first["age"]) == 50
    earlier = row(found, record(1, -10))
    assert (earlier["heart_rate_last"], earlier["heart_rate_count"]) == (80, 2)  # -30 h is in its window
    assert (earlier["sepsis"], earlier["label"]) == ("no", 0)
    assert np.isnan(earlier["creatinine"])
    assert max(found.latest.values()) <= 0
    assert first["patient_id"] == earlier["patient_id"]


def test_an_impossible_number_is_missing_and_counted(folder):
    found = meds.read(folder, DATA, HERE)
    assert np.isnan(row(found, record(2))["heart_rate_last"])
    assert sum(found.outside.values()) >= 1


def test_the_same_events_make_a_grid_that_ends_with_the_prediction(folder):
    found = meds.read(folder, DATA.model_copy(update={"modalities": ("table", "series")}), HERE)
    place = list(found.frame["record_id"]).index(record(1))
    np.testing.assert_allclose(found.series.values[place, :, 0], [80, np.nan, np.nan, 95])
    assert [variable.name for variable in found.series.variables] == ["heart_rate"]


def test_subjects_are_dealt_by_their_site_s_code(folder, tmp_path):
    sites = (HERE, Site(name="south"))
    out = tmp_path / "dealt"
    meds.deal(Deal(data=DATA.model_copy(update={"path": "x"}), sites=sites, seed=0, path=str(folder)), out)
    found = {site.name: meds.read(out / site.name, DATA, site).frame for site in sites}
    assert {name: sorted(frame["patient_id"].unique()) for name, frame in found.items()} == {
        "north": ["1"], "south": ["2", "3"],
    }  # fmt: skip


def test_what_is_not_meds_is_refused_by_file(folder):
    table = pq.read_table(folder / "data" / "0.parquet")
    pq.write_table(table.drop_columns("code"), folder / "data" / "0.parquet")
    with pytest.raises(DataError, match=r"0\.parquet"):
        meds.read(folder, DATA, HERE)


def test_codes_that_nobody_has_and_a_study_without_codes_are_refused(folder):
    nothing = Events(last={"x": "LAB//none"}, age=False)
    with pytest.raises(DataError, match="none of the codes"):
        meds.read(folder, Data(source="meds", events=nothing), HERE)
    with pytest.raises(ConfigError, match="add events"):
        meds.read(folder, Data(source="meds"), HERE)


# eICU by both roads


@pytest.fixture(scope="session")
def roads(data_root: Path, tmp_path_factory: pytest.TempPathFactory):
    """Read the eICU demo by its own loader, and converted to MEDS; rows in the same order."""
    source, out = data_root / "eicu_demo", tmp_path_factory.mktemp("meds")
    counts = convert(source, out, by="region", hours=24.0)
    own = eicu.read(source, Data(source="eicu", modalities=("table",)), HERE)
    data = Data(source="meds", events=inputs(), modalities=("table",))
    other = meds.read(out, data, HERE)
    stays = timeline(source, "region")
    of_record = stays.loc[own.frame["record_id"]]
    times = (of_record["start"] + pd.Timedelta(hours=24)).dt.strftime("%Y-%m-%dT%H:%M:%S.%f")
    keys = of_record["subject_id"].astype(str).to_numpy() + " " + times.to_numpy()
    once = stays["subject_id"].value_counts() == 1
    single = of_record["subject_id"].map(once).to_numpy(dtype=bool)
    return own, other, other.frame.set_index("record_id").loc[keys], single, counts, out, data


def test_both_roads_have_the_same_stays_and_outcomes(roads):
    own, other, ordered, *_ = roads
    assert len(own.frame) == len(other.frame) == len(ordered) > 1500
    assert own.frame["label"].tolist() == ordered["label"].tolist()


def test_both_roads_give_the_same_features(roads):
    """To the number for every patient of one stay; of several, MEDS's static codes are the first stay's."""
    own, other, ordered, single, *_ = roads
    renamed = {feature.name: "sex" if feature.name == "gender" else feature.name for feature in own.features}
    assert set(renamed.values()) == {feature.name for feature in other.features}
    assert single.sum() > 900
    compared = 0
    for feature in own.features:
        mine, theirs = own.frame[feature.name], ordered[renamed[feature.name]]
        if feature.kind == "numeric":
            mine, theirs = (each.to_numpy(dtype=float) for each in (mine, theirs))
            if feature.name == "age":
                theirs = np.floor(theirs + 1e-6)
            low, high = (bound if bound is not None else side for bound, side in
                         ((feature.low, -np.inf), (feature.high, np.inf)))  # fmt: skip
            mine, theirs = (np.where((each >= low) & (each <= high), each, np.nan) for each in (mine, theirs))
            same = np.isclose(mine, theirs, rtol=1e-6, equal_nan=True)
        else:
            same = (mine.fillna("") == theirs.fillna("").to_numpy()).to_numpy()
        assert same[single].all(), feature.name
        compared += 1
    assert compared > 60


def test_the_study_lists_the_codes_of_the_conversion():
    study = yaml.safe_load((ROOT / "config" / "studies" / "eicu_meds.yaml").read_text(encoding="utf-8"))
    events = study["tasks"]["mortality"]["data"]["events"]
    assert Events.model_validate_json(json.dumps(events)) == inputs()


def test_no_patient_is_on_two_sides(roads, preparation):
    *_, out, data = roads
    ready, _ = prepare(preparation("meds", data=data, site=HERE), out)
    assert (ready.frame.groupby("patient")["role"].nunique() == 1).all()
