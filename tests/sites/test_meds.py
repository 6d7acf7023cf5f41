"""MEDS: what is known at a label's time, whose a subject is, and that it and the eICU loader agree."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from meds import CodeMetadataSchema, DataSchema, LabelSchema, SubjectSplitSchema

from coordinator.command_line import main
from coordinator.config import Data, Events, Site
from coordinator.errors import ConfigError, DataError
from coordinator.specs import Deal, Preparation
from sites.__main__ import COMMANDS
from sites.datasets import eicu, meds
from sites.datasets.eicu_times import timeline
from sites.datasets.eicu_to_meds import inputs
from sites.prepare import prepare
from sites.reading import Reading

ROOT = Path(__file__).resolve().parents[2]
SITE = Site(name="north")
NOON = pd.Timestamp("2020-01-02 12:00")
CHOSEN = Events(
    window_hours=12,
    last={"weight": "WEIGHT"},
    numbers={"pulse": "PULSE"},
    words={"sex": "SEX//", "ward": "WARD//"},
    flags={"sepsis": ("ICD//A40", "ICD//A41")},
    limits={"pulse": (10, 300)},
    site="SITE//",
)


def hours(number: float) -> pd.Timestamp:
    return NOON + pd.Timedelta(hours=number)


# subject, hours from its label (None: static), code, value
EVENTS: list[tuple[int, float | None, str, float | None]] = [
    (1, None, "SITE//north", None), (1, None, "SEX//F", None), (1, -24 * 365.25 * 50, "MEDS_BIRTH", None),
    (1, -13, "PULSE", 55), (1, -12, "PULSE", 60), (1, -3, "PULSE", 80), (1, 0, "PULSE", 100),
    (1, 1, "PULSE", 250), (1, -2, "PULSE", 999), (1, -5, "WEIGHT", 70), (1, -4, "WEIGHT", 71),
    (1, -8, "WARD//surgery", None), (1, -1, "WARD//medicine", None), (1, 2, "WARD//morgue", None),
    (1, -6, "ICD//A419", None), (1, 20, "MEDS_DEATH", None), (1, -2, "PULSE//rhythm", 7),
    (2, None, "SITE//south", None), (2, None, "SEX//male", None), (2, -20, "ICD//A400", None),
    (2, -2, "ICD//A499", None), (2, 5, "ICD//A419", None), (2, -2, "PULSE", None),
    (3, None, "SITE//south", None), (3, None, "WEIGHT", 90),
]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    """Write a conforming folder of two shards; `labels` are subject, time and outcome."""

    def make(
        name: str = "meds",
        more: list[tuple[int, float | None, str, float | None]] | None = None,
        labels: list[tuple[int, pd.Timestamp, bool]] | None = None,
    ) -> Path:
        events = [*EVENTS, *(more or [])]
        for shard in (0, 1):
            mine = [each for each in events if (each[0] > 1) == shard]
            write(tmp_path / name / "data" / f"part{shard}" / "0.parquet", event_table(mine), DataSchema)
        chosen = labels or [(1, NOON, True), (2, NOON, False), (3, NOON, False)]
        write(tmp_path / name / "labels" / "mortality.parquet", label_table(chosen), LabelSchema)
        codes = pa.table({"code": sorted({code for _, _, code, _ in events})})
        write(tmp_path / name / "metadata" / "codes.parquet", codes, CodeMetadataSchema)
        return tmp_path / name

    return make


def event_table(events: list[tuple[int, float | None, str, float | None]]) -> pa.Table:
    known = sorted(events, key=lambda each: (each[0], -np.inf if each[1] is None else each[1]))
    times = [None if time is None else hours(time).to_pydatetime() for _, time, _, _ in known]
    return pa.table(
        {
            "subject_id": pa.array([each[0] for each in known], pa.int64()),
            "time": pa.array(times, pa.timestamp("us")),
            "code": pa.array([each[2] for each in known], pa.string()),
            "numeric_value": pa.array([each[3] for each in known], pa.float32()),
        }
    )


def label_table(labels: list[tuple[int, pd.Timestamp, bool]]) -> pa.Table:
    subjects, times, outcomes = zip(*labels, strict=True)
    moments = pa.array([time.to_pydatetime() for time in times], pa.timestamp("us"))
    return pa.table({"subject_id": subjects, "prediction_time": moments, "boolean_value": outcomes})


def write(path: Path, table: pa.Table, schema: type) -> None:
    schema.validate(schema.align(table))
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)


def read(path: Path, chosen: Events = CHOSEN, **changes: object) -> Reading:
    return meds.read(path, Data(source="meds", events=chosen, **changes), SITE)


def first(reading: Reading) -> dict[str, object]:
    return reading.frame.set_index("patient_id").loc["1"].to_dict()


def test_each_input_is_what_was_known_by_then(folder):
    found = first(read(folder()))
    expected = {
        "age": 50.0, "weight": 71.0, "pulse_last": 100.0, "pulse_mean": 80.0, "pulse_count": 3.0,
        "sex": "female", "ward": "medicine", "sepsis": "yes", "label": 1,
    }  # fmt: skip
    assert {name: found[name] for name in expected} == expected
    frame = read(folder("again")).frame.set_index("patient_id")
    assert frame.loc["2", ["sex", "sepsis", "pulse_count"]].tolist() == ["male", "no", 0.0]
    assert frame.loc["3", "weight"] == 90.0  # static
    assert frame.loc[["2", "3"], ["age", "pulse_last"]].isna().all(axis=None)


def test_limits_take_impossible_values_out_and_count_them(folder):
    found = read(folder())
    assert found.outside == {"pulse": 1}
    [pulse] = [feature for feature in found.features if feature.name == "pulse_mean"]
    assert (pulse.low, pulse.high) == (10, 300)


def test_an_event_after_the_label_changes_nothing(folder):
    before = read(folder("before"))
    just_after = 1e-6 / 3600
    late = [
        (1, just_after, "PULSE", 40.0), (1, just_after, "WEIGHT", 40.0), (1, just_after, "WARD//x", None),
        (2, just_after, "ICD//A419", None), (2, just_after, "MEDS_BIRTH", None),
    ]  # fmt: skip
    after = read(folder("late", more=late))
    assert after.frame.equals(before.frame)
    assert max(after.latest.values()) == 0  # the pulse at the label's very moment
    known = read(folder("known", more=[(subject, 0, code, value) for subject, _, code, value in late]))
    changed = {name for name in before.frame if not known.frame[name].equals(before.frame[name])}
    assert changed == {"weight", "pulse_last", "pulse_mean", "pulse_count", "ward", "sepsis", "age"} - {
        "pulse_last"  # of two numbers at one moment the largest is the last, whatever the order
    }


def test_without_a_window_all_of_the_past_counts(folder):
    found = first(read(folder(), CHOSEN.model_copy(update={"window_hours": None})))
    assert (found["pulse_count"], found["pulse_mean"]) == (4.0, 73.75)


def test_a_subject_with_two_labels_is_one_patient(folder):
    path = folder(labels=[(1, NOON, True), (1, hours(-6), False), (2, NOON, False)])
    found = read(path).frame
    assert found["patient_id"].value_counts().to_dict() == {"1": 2, "2": 1}
    assert found["record_id"].is_unique
    assert found["pulse_count"].tolist() == [3.0, 2.0, 0.0]  # of the earlier: at -13 and -12 hours


def test_a_label_of_nobody_is_quarantined(folder):
    found = read(folder(labels=[(1, NOON, True), (9, NOON, True)]))
    assert [(entry.file, entry.row, entry.reason) for entry in found.rejected] == [
        ("mortality.parquet", 2, "no event of the subject")
    ]
    assert found.frame["patient_id"].tolist() == ["1"]
    assert found.series is not None
    assert len(found.series.values) == 1


def test_a_series_ends_at_the_label(folder):
    found = read(folder(labels=[(9, NOON, True), (2, NOON, True), (1, NOON, True)]), step_hours=3)
    assert found.series is not None
    assert [variable.name for variable in found.series.variables] == ["pulse"]
    subject_2, subject_1 = found.series.values[:, :, 0]
    assert np.isnan(subject_2).all()
    np.testing.assert_array_equal(subject_1, [60, np.nan, np.nan, 90])  # at -3 and 0 hours: 80 and 100


def test_the_source_s_own_test_subjects_are_marked(folder):
    path = folder()
    assert "source_test" not in read(path).frame
    splits = pa.table({"subject_id": [1, 2, 3], "split": ["held_out", "train", "tuning"]})
    write(path / "metadata" / "subject_splits.parquet", splits, SubjectSplitSchema)
    assert read(path).frame["source_test"].tolist() == [True, False, False]


def test_data_as_other_tools_write_it_is_cast(folder):
    path = folder()
    expected = read(path).frame
    file = path / "data" / "part1" / "0.parquet"
    table = pq.ParquetFile(file).read().drop_columns(["numeric_value"])
    codes = table["code"].cast(pa.large_string())
    table = table.set_column(2, "code", codes).append_column("unit", pa.nulls(len(table), pa.string()))
    pq.write_table(table, file)
    found = read(path).frame
    assert found.drop(columns="weight").equals(expected.drop(columns="weight"))
    assert np.isnan(found["weight"].iloc[2])  # subject 3's stood in the column that is gone


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda t: t.drop_columns(["code"]), "DataSchema.*code"),
        (lambda t: t.set_column(0, "subject_id", pa.array(["x"] * len(t))), "DataSchema.*subject_id"),
        (lambda t: t.set_column(0, "subject_id", pa.nulls(len(t), pa.int64())), "DataSchema.*subject_id"),
    ],
)
def test_events_that_are_not_meds_are_refused(harm, message, folder):
    path = folder()
    file = path / "data" / "part0" / "0.parquet"
    pq.write_table(harm(pq.ParquetFile(file).read()), file)
    with pytest.raises(DataError, match=rf"(?s)0\.parquet: not a table of MEDS's {message}"):
        read(path)


def test_labels_that_cannot_be_used_are_refused(folder):
    path = folder()
    with pytest.raises(DataError, match=r"expected labels/sepsis\.parquet, found mortality"):
        read(path, outcome="sepsis")
    (path / "labels" / "other.parquet").write_bytes((path / "labels" / "mortality.parquet").read_bytes())
    with pytest.raises(DataError, match="one outcome in labels/, found mortality, other"):
        read(path)
    numbers = pa.table({"subject_id": [1], "prediction_time": pa.array([NOON], pa.timestamp("us"))})
    write(path / "labels" / "other.parquet", numbers, LabelSchema)
    with pytest.raises(DataError, match="no boolean_value"):
        read(path, outcome="other")
    with pytest.raises(ConfigError, match="which codes are inputs"):
        meds.read(path, Data(source="meds"), SITE)


def test_codes_that_nobody_has_are_an_error_not_an_empty_table(folder):
    with pytest.raises(DataError, match="none of the codes"):
        read(folder(), Events(last={"weight": "WEIHGT"}, age=False))


def dealt(path: Path, out: Path, *names: str) -> None:
    sites = tuple(Site(name=name) for name in names)
    meds.deal(Deal(data=Data(source="meds", events=CHOSEN), sites=sites, seed=0, path=str(path)), out)


def test_subjects_are_dealt_by_their_static_code(folder, tmp_path):
    path = folder()
    dealt(path, tmp_path / "out", "north", "south")
    parts = [read(tmp_path / "out" / name) for name in ("north", "south")]
    assert [part.frame["patient_id"].tolist() for part in parts] == [["1"], ["2", "3"]]
    together = pd.concat(part.frame for part in parts).drop(columns="row").reset_index(drop=True)
    assert together.equals(read(path).frame.drop(columns="row"))
    assert (tmp_path / "out" / "south" / "metadata" / "codes.parquet").exists()
    assert meds.groups(path, "SITE//") == {"north": 1, "south": 2}


def test_a_deal_that_cannot_be_is_refused(folder, tmp_path, capsys):
    with pytest.raises(DataError, match="no subject of site 'east', which takes 'east'"):
        dealt(folder(), tmp_path / "a", "north", "east")
    dealt(folder("more"), tmp_path / "b", "north")
    assert "2 of 3 subjects are of no site of the task" in capsys.readouterr().out
    with pytest.raises(DataError, match="two static codes SITE//"):
        dealt(folder("twice", more=[(1, None, "SITE//south", None)]), tmp_path / "c", "north", "south")
    with pytest.raises(DataError, match=r"no static code .* begins with 'WARD//'"):
        meds.groups(folder("none"), "WARD//")


@pytest.fixture(scope="session")
def converted(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Convert the eICU demo by the command."""
    out = tmp_path_factory.mktemp("converted") / "meds"
    options = ["to-meds", "--input", str(data_root / "eicu_demo"), "--out", str(out)]
    assert main("sites", COMMANDS, options) == 0
    return out


@pytest.fixture(scope="session")
def both(converted: Path, data_root: Path) -> tuple[Reading, Reading, pd.DataFrame]:
    """Read the demo by both roads: eICU's, MEDS's, and where each stay of the first is placed in time."""
    by_eicu = eicu.read(data_root / "eicu_demo", Data(source="eicu"), SITE)
    by_meds = read(converted, inputs(), modalities=("table",))
    places = timeline(data_root / "eicu_demo", "region")
    return by_eicu, by_meds, places


def test_the_converted_demo_conforms_to_meds(converted):
    events = [pq.ParquetFile(path).read() for path in (converted / "data").glob("*.parquet")]
    assert events
    for table in events:
        DataSchema.validate(table)
        frame = table.to_pandas()
        ordered = frame.sort_values(["subject_id", "time"], na_position="first", kind="stable")
        assert ordered.index.equals(frame.index)
    codes = set().union(*(set(table["code"].to_pylist()) for table in events))
    named = pq.ParquetFile(converted / "metadata" / "codes.parquet").read()
    CodeMetadataSchema.validate(named)
    assert codes == set(named["code"].to_pylist())
    labels = pq.ParquetFile(converted / "labels" / "mortality.parquet").read()
    LabelSchema.validate(labels)
    assert Counter(labels["boolean_value"].to_pylist()) == {False: 1465, True: 141}


def test_both_roads_have_the_same_inputs_and_records(both):
    by_eicu, by_meds, places = both
    renamed = [feature.name.replace("gender", "sex") for feature in by_eicu.features]
    assert sorted(renamed) == sorted(feature.name for feature in by_meds.features)
    limits = {feature.name: (feature.low, feature.high) for feature in by_eicu.features}
    for feature in by_meds.features:
        if feature.kind == "numeric":
            assert limits[feature.name] == (feature.low, feature.high)
    assert len(by_eicu.frame) == len(by_meds.frame) == 1606
    assert set(keys(by_eicu, places)) == set(by_meds.frame["record_id"])


def test_both_roads_give_the_same_values_where_no_other_stay_comes_near(both):
    by_eicu, by_meds, places = both
    ours = by_eicu.frame.rename(columns={"gender": "sex"}).set_index(keys(by_eicu, places))
    theirs = by_meds.frame.set_index("record_id").loc[ours.index]
    own = places.loc[ours["record_id"]]
    # MEDS joins a patient's stays: one in another unit just before is part of the history there
    visits = places["patienthealthsystemstayid"]
    alone = own["patienthealthsystemstayid"].isin(visits.drop_duplicates(keep=False)).to_numpy()
    single = ~own["subject_id"].isin(places["subject_id"][places["subject_id"].duplicated()]).to_numpy()
    assert alone.sum() > 1250
    assert single.sum() > 950
    assert ours["label"].tolist() == theirs["label"].tolist()
    for feature in by_meds.features:
        a, b, rows = ours[feature.name], theirs[feature.name], alone
        if feature.name in ("age", "ethnicity"):  # of a patient, not of a stay
            rows, b = single, (np.floor(b + 1e-9) if feature.name == "age" else b)
        if feature.kind == "numeric":
            within = [each.astype(float).where(each.between(feature.low, feature.high)) for each in (a, b)]
            np.testing.assert_allclose(*(each[rows] for each in within), rtol=1e-6, err_msg=feature.name)
        else:
            assert (a.fillna("")[rows] == b.fillna("")[rows]).all(), feature.name


def keys(by_eicu: Reading, places: pd.DataFrame) -> pd.Index:
    """Name each of eICU's records as MEDS does: by subject and time of prediction."""
    own = places.loc[by_eicu.frame["record_id"]]
    times = (own["start"] + pd.Timedelta(hours=24)).dt.strftime("%Y-%m-%dT%H:%M:%S.%f")
    return pd.Index(own["subject_id"].astype(str) + " " + times)


def test_nobody_of_the_converted_demo_is_on_two_sides(converted):
    spec = {"data": Data(source="meds", events=inputs()), "modalities": ("table",), "split_seed": 0}
    spec |= {"site": SITE, "split": {}, "min_cell": 5, "min_patients": 10}
    ready, rejected = prepare(Preparation.model_validate(spec), converted)
    sides = ready.frame.groupby("patient")["role"].nunique()
    assert (sides == 1).all()
    assert len(sides) < len(ready.frame) == 1606
    assert not rejected


def test_the_ready_study_lists_the_codes_that_give_eicu_s_inputs():
    study = yaml.safe_load((ROOT / "config" / "studies" / "eicu_meds.yaml").read_text(encoding="utf-8"))
    events = study["tasks"]["mortality"]["data"]["events"]
    lists = {name: tuple(codes) for name, codes in events["flags"].items()}
    limits = {name: tuple(map(float, pair)) for name, pair in events["limits"].items()}
    found = Events(**{**events, "flags": lists, "limits": limits, "summaries": tuple(events["summaries"])})
    assert found == inputs()
