"""A table is read as the study explains it, from CSV, CSV.gz or Parquet; what breaks a rule is rejected."""

import gzip

import numpy as np
import pandas as pd
import pytest

from coordinator.config import Columns
from coordinator.errors import DataError
from sites.columns import CLASS_ROWS, latest, read_columns, table_file

HEADER = "pid,visit,died,age,sex,hr,ward,hour_hr,hour"
ROWS = (
    "p1,v1,yes,70,F,80,ICU,3,24",
    "p1,v2,no,70,f,-1,icu ,3,24",
    "p2,v3,NO,?,Man,90.5,,24,24",
    "p3,v4,1,200,male,999,med,20,24",
)
COLUMNS = Columns(
    patient="pid", record="visit", label="died", numeric=("age", "hr"), categorical=("ward", "sex"),
    missing=("-1", "999.0"), limits={"age": (0, 120)}, age="age", sex="sex",
)  # fmt: skip
TIMED = COLUMNS.model_copy(update={"prediction_time": "hour", "times": {"hr": "hour_hr"}})
ENDINGS = ("csv", "csv.gz", "parquet")


@pytest.fixture
def table(tmp_path):
    """Write a table of text rows in one of the formats."""

    def make(*rows, header=HEADER, ending="csv"):
        path = tmp_path / f"visits.{ending}"
        text = "\n".join([header, *rows]) + "\n"
        if ending == "csv":
            path.write_text(text, encoding="utf-8")
        elif ending == "csv.gz":
            path.write_bytes(gzip.compress(text.encode()))
        else:
            cells = [row.split(",") for row in rows]
            pd.DataFrame(cells, columns=header.split(","), dtype=object).to_parquet(path)
        return path

    return make


@pytest.mark.parametrize("ending", ENDINGS)
def test_every_format_gives_the_same_rows(table, ending):
    frame, features, rejected = read_columns(table(*ROWS, ending=ending), COLUMNS)
    assert rejected == []
    assert frame["record_id"].tolist() == ["v1", "v2", "v3", "v4"]
    assert frame["patient_id"].tolist() == ["p1", "p1", "p2", "p3"]
    assert frame["label"].tolist() == [1, 0, 0, 1]
    assert frame["row"].tolist() == ([2, 3, 4, 5] if ending != "parquet" else [1, 2, 3, 4])
    # limits are applied by preparation, which counts what lies outside
    np.testing.assert_equal(frame["age"].to_numpy(), [70, 70, np.nan, 200])
    np.testing.assert_equal(frame["hr"].to_numpy(), [80, np.nan, 90.5, np.nan])
    assert frame["ward"].fillna("nothing").tolist() == ["icu", "icu", "nothing", "med"]
    assert frame["sex"].tolist() == ["female", "female", "male", "male"]
    assert [(each.name, each.kind, each.low, each.high) for each in features] == [
        ("age", "numeric", 0, 120), ("hr", "numeric", None, None),
        ("ward", "categorical", None, None), ("sex", "categorical", None, None),
    ]  # fmt: skip


BAD = {
    "text for a number": ("p9,v9,no,old,f,80,icu,3,24", "age: not a number"),
    "a comma for a point": ('p9,v9,no,"70,5",f,80,icu,3,24', "age: not a number"),
    "more than can be": ("p9,v9,no,inf,f,80,icu,3,24", "age: not a number"),
    "no patient": (" ,v9,no,70,f,80,icu,3,24", "pid: empty, whose row is unknown"),
    "no record": ("p9,,no,70,f,80,icu,3,24", "visit: empty"),
    "no outcome": ("p9,v9,,70,f,80,icu,3,24", "died: missing, or no word for an outcome or none"),
    "another outcome": ("p9,v9,maybe,70,f,80,icu,3,24", "died: missing, or no word for an outcome or none"),
    "a missing word is no outcome": (
        "p9,v9,-1,70,f,80,icu,3,24", "died: missing, or no word for an outcome or none",
    ),
    "too few fields": ("p9,v9", "not 9 fields in the row"),
    "no time of it": ("p9,v9,no,70,f,80,icu,,24", "hr: no time of it or of the prediction"),
    "no time of the prediction": ("p9,v9,no,70,f,80,icu,3,later", "hr: no time of it or of the prediction"),
}  # fmt: skip


# a Parquet row always has all fields, and no quotes around one
CASES = [
    (name, ending)
    for name, (row, _) in BAD.items()
    for ending in ENDINGS
    if ending != "parquet" or row.count(",") == HEADER.count(",")
]


@pytest.mark.parametrize(("name", "ending"), CASES)
def test_a_bad_row_is_rejected_with_file_row_and_rule(table, name, ending):
    row, reason = BAD[name]
    path = table(*ROWS, row, ending=ending)
    frame, _, rejected = read_columns(path, TIMED)
    assert [tuple(each) for each in rejected] == [(path.name, 5 + (ending != "parquet"), reason)]
    assert len(frame) == 4


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_third_class_is_an_error_until_the_study_says_what_it_counts_as(table, ending):
    rows = [f"q{i},w{i},{('yes', 'no', 'Maybe')[i % 3]},70,f,80,icu,3,24" for i in range(3 * CLASS_ROWS)]
    path = table(*rows, ending=ending)
    with pytest.raises(DataError, match=r"found 'maybe' in 'died'.*two classes.*negative") as refused:
        read_columns(path, COLUMNS)
    assert str(path) in str(refused.value)
    rest = COLUMNS.model_copy(update={"negative": ("no", "maybe")})
    frame, _, rejected = read_columns(path, rest)
    assert (frame["label"].tolist(), rejected) == ([1, 0, 0] * CLASS_ROWS, [])
    left_out = COLUMNS.model_copy(update={"missing": ("maybe",)})
    frame, _, rejected = read_columns(path, left_out)
    assert frame["label"].tolist() == [1, 0] * CLASS_ROWS
    assert len(rejected) == CLASS_ROWS
    # one row fewer is taken for slips, each quarantined
    frame, _, rejected = read_columns(table(*rows[:-1], ending=ending), COLUMNS)
    assert len(rejected) == CLASS_ROWS - 1


def test_numbers_of_parquet_are_read_as_such(tmp_path):
    path = tmp_path / "visits.parquet"
    pd.DataFrame(
        {
            "pid": pd.array([1, 2, None], dtype="Int64"), "visit": [10.0, 11.0, 12.0],
            "died": [True, False, True], "age": [70.5, np.nan, 3.0],
            "hr": pd.array([80, -1, 999], dtype="int32"),
            "ward": pd.Categorical(["ICU", None, "med"]), "sex": ["f", "m", None],
        }
    ).to_parquet(path)  # fmt: skip
    frame, _, rejected = read_columns(path, COLUMNS)
    assert [tuple(each)[1:] for each in rejected] == [(3, "pid: empty, whose row is unknown")]
    assert frame["patient_id"].tolist() == ["1", "2"]
    assert frame["label"].tolist() == [1, 0]
    np.testing.assert_equal(frame[["age", "hr"]].to_numpy(), [[70.5, 80], [np.nan, np.nan]])


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_missing_column_is_refused_in_every_format(table, ending):
    header = HEADER.replace("died", "dead")
    with pytest.raises(DataError, match="missing column died; found pid, visit, dead"):
        read_columns(table(*ROWS, header=header, ending=ending), COLUMNS)


def test_a_column_that_stands_twice_is_refused(table):
    with pytest.raises(DataError, match="column age stands twice"):
        read_columns(table(*ROWS, header=HEADER.replace("hour_hr", "age")), COLUMNS)


@pytest.mark.parametrize("ending", ENDINGS)
def test_an_empty_or_damaged_file_is_refused(table, ending):
    with pytest.raises(DataError, match="a header and no rows"):
        read_columns(table(ending=ending), COLUMNS)
    path = table(*ROWS, ending=ending)
    path.write_bytes(path.read_bytes()[: len(path.read_bytes()) // 2] if ending != "csv" else b"\xff\xfe\x00")
    with pytest.raises(DataError, match=path.name):
        read_columns(path, COLUMNS)


def test_lists_in_parquet_cells_are_refused(tmp_path):
    path = tmp_path / "visits.parquet"
    frame = pd.DataFrame([row.split(",") for row in ROWS], columns=HEADER.split(","))
    frame.assign(hr=[[1.0, 2.0]] * len(frame)).to_parquet(path)
    with pytest.raises(DataError, match="not a Parquet file of plain columns"):
        read_columns(path, COLUMNS)


def test_times_are_hours_or_dates_and_the_latest_counts(table):
    frame, _, _ = read_columns(table(*ROWS), TIMED)
    assert latest(frame, TIMED) == {
        "hr": 0.0
    }  # the values of v2 and v4 are missing: their times do not count
    dated = [
        row.replace(",3,24", ",2020-03-01T21:00,2020-03-02")
        .replace(",24,24", ",2020-03-02 01:30:00,2020-03-02T00:00:00+00:00")
        .replace(",20,24", ",2020-03-05,2020-03-02")
        for row in ROWS
    ]
    frame, _, rejected = read_columns(table(*dated), TIMED)
    assert rejected == []
    assert latest(frame, TIMED) == {"hr": 1.5}


def test_hours_and_dates_are_not_compared(table):
    with pytest.raises(DataError, match="'hour_hr' holds hours and 'hour' dates"):
        read_columns(table(*(row.removesuffix("24") + "2020-03-02" for row in ROWS)), TIMED)


def test_a_row_without_a_record_column_is_known_by_its_line(table):
    frame, _, _ = read_columns(table(*ROWS), COLUMNS.model_copy(update={"record": None}))
    assert frame["record_id"].tolist() == ["00000002", "00000003", "00000004", "00000005"]


def test_a_folder_holds_one_table(table, tmp_path):
    path = table(*ROWS)
    (tmp_path / "notes.txt").write_text("nothing")
    assert table_file(tmp_path) == table_file(path) == path
    (tmp_path / "other.parquet").write_bytes(b"")
    with pytest.raises(DataError, match=r"other\.parquet, visits\.csv, expected one table"):
        table_file(tmp_path)


CLASSES = COLUMNS.model_copy(update={"classes": ("Home", "ward", "2"), "missing": ("lost",)})


def test_classes_are_numbered_as_the_study_names_them(table):
    words = ("home", "WARD", "2.0", "2", "lost", "")
    rows = [f"p{i},v{i},{word},70,F,80,icu,3,24" for i, word in enumerate(words)]
    frame, _, rejected = read_columns(table(*rows), CLASSES)
    assert frame["label"].tolist() == [0, 1, 2, 2]
    assert [each.row for each in rejected] == [6, 7]


def test_a_class_that_is_not_named_stops_the_reading(table):
    rows = [f"p{i},v{i},icu,70,F,80,icu,3,24" for i in range(CLASS_ROWS)]
    with pytest.raises(DataError, match=r"found 'icu' in 'died' beside the classes \(Home, ward, 2\)"):
        read_columns(table(*rows), CLASSES)
