import json

import numpy as np
import pandas as pd
import pytest

from coordinator.command_line import main
from coordinator.config import Site
from coordinator.errors import DataError
from coordinator.specs import PREPARED_FORMAT
from sites import prepared
from sites.__main__ import COMMANDS
from sites.datasets import breast_cancer
from sites.prepare import prepare

GOOD = "63,1,4,140,260,0,1,112,1,3,2,?,?,2"
UCI = {"cleveland": 303, "hungarian": 261, "switzerland": 46, "va": 130}  # 740 complete rows
REPEATS = {"hungarian": 103, "va": 188}  # lines that stand twice; only the second is complete


@pytest.fixture
def aspirates(tmp_path, deal_spec):
    breast_cancer.deal(deal_spec("breast_cancer"), tmp_path)
    return tmp_path / "north" / breast_cancer.FILE


def reasons(rejected):
    return {(entry.row, entry.reason) for entry in rejected}


@pytest.mark.parametrize("site", UCI)
def test_heart_has_the_published_complete_rows_but_one_repeat(site, data_root, preparation):
    path = data_root / "heart_disease" / f"processed.{site}.data"
    spec = preparation("heart", missing="quarantine", site=Site(name=site))
    ready, rejected = prepare(spec, path)
    assert len(ready.frame) == UCI[site] - (site == "va")
    assert not ready.frame.isna().any(axis=None)
    assert len(ready.frame) + len(rejected) == len(path.read_text().splitlines())
    assert all(reason.endswith((": missing", "duplicate row")) for reason in ready.summary.quarantined)
    everyone, repeated = prepare(preparation("heart", site=Site(name=site)), path)
    assert len(everyone.frame) + len(repeated) == len(path.read_text().splitlines())
    assert reasons(repeated) == ({(REPEATS[site], "duplicate row")} if site in REPEATS else set())


def test_switzerland_has_one_outcome_to_test_on(data_root, preparation):
    spec = preparation("heart", missing="quarantine", site=Site(name="switzerland"))
    ready, _ = prepare(spec, data_root / "heart_disease" / "processed.switzerland.data")
    assert any("test records have outcome 1" in warning for warning in ready.summary.warnings)
    assert ready.summary.female_share is None  # too few women to say how many


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("old,1,4,140,260,0,1,112,1,3,2,?,?,2", "age: not a number"),
        ("inf,1,4,140,260,0,1,112,1,3,2,?,?,2", "age: not a number"),
        ("63,7,4,140,260,0,1,112,1,3,2,?,?,2", "sex: not one of its codes"),
        ("63,1,4,140,260,0,1,112,1,3,2,?,?,9", "diagnosis: missing or outside 0 to 4"),
        ("63,1,4,140,260,0,1,112,1,3,2,?,?,?", "diagnosis: missing or outside 0 to 4"),
        ("63,1,4,140", "not 14 fields in the row"),
        (GOOD + ",5", "not 14 fields in the row"),
    ],
)
def test_a_bad_row_is_quarantined_and_counted(row, reason, heart_file, preparation):
    ready, rejected = prepare(preparation("heart"), heart_file(40, {7: row}))
    assert reasons(rejected) == {(7, reason)}
    assert ready.summary.quarantined == {reason: 1}
    assert ready.summary.records == len(ready.frame) == 39


def test_a_missing_value_is_kept_or_quarantined_as_the_study_says(heart_file, preparation):
    path = heart_file(40, {7: "63,?,4,?,260,0,1,112,1,3,2,?,?,2"})
    ready, rejected = prepare(preparation("heart"), path)
    assert rejected == []
    assert ready.frame["trestbps"].isna().sum() == ready.frame["sex"].isna().sum() == 1
    ready, rejected = prepare(preparation("heart", missing="quarantine"), path)
    assert reasons(rejected) == {(7, "sex: missing")}
    assert len(ready.frame) == 39


def test_codes_may_be_written_as_numbers(heart_file, preparation):
    ready, _ = prepare(
        preparation("heart"), heart_file(40, {1: "63.0,1.0,4.0,140,260,0.0,2.0,112,1.0,3,2,?,?,2.0"})
    )
    assert ready.frame.loc[0, ["sex", "cp", "restecg", "label"]].tolist() == [
        "male",
        "asymptomatic",
        "hypertrophy",
        1,
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"\n\n", "the file is empty"),
        (b"\xff\xfe\x00bad", "not UTF-8 text"),
        (GOOD.encode() * 3, "1 of 1 rows have 40 columns, expected 14"),
        (b"1,2\n1,2,3\n", "0 usable patients.*2 x not 14 fields in the row"),
        (b"\n".join([GOOD.encode()] * 3), "1 usable patients, at least 10 are needed.*2 x duplicate row"),
    ],
)
def test_a_useless_file_is_refused_by_name(content, message, tmp_path, preparation):
    path = tmp_path / "processed.bad.data"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"(?s){path}.*{message}"):
        prepare(preparation("heart"), path)


def test_too_few_patients_name_the_file_row_and_rule(heart_file, preparation):
    path = heart_file(12, {row: GOOD.replace("63", "old") for row in (3, 5, 6)})
    with pytest.raises(DataError) as caught:
        prepare(preparation("heart"), path)
    for part in (str(path), "9 usable patients", "min_patients", "3 x age: not a number", "row 3"):
        assert part in str(caught.value)


def test_a_missing_column_is_refused(aspirates, preparation):
    text = aspirates.read_text().replace("worst_area", "wurst_area", 1)
    aspirates.write_text(text)
    with pytest.raises(DataError, match=rf"{aspirates}:1: missing column worst_area; found sample_id"):
        prepare(preparation("breast_cancer"), aspirates)


def test_a_header_alone_is_refused(aspirates, preparation):
    aspirates.write_text(aspirates.read_text().splitlines()[0])
    with pytest.raises(DataError, match="a header and no rows"):
        prepare(preparation("breast_cancer"), aspirates)


def test_a_label_outside_the_set_is_quarantined(aspirates, preparation):
    lines = aspirates.read_text().splitlines()
    lines[4] = lines[4].rsplit(",", 1)[0] + ",perhaps"
    aspirates.write_text("\n".join(lines))
    _, rejected = prepare(preparation("breast_cancer"), aspirates.parent)
    assert reasons(rejected) == {(5, "diagnosis: missing, or neither benign nor malignant")}


def test_equal_rows_count_once_and_contradicting_ones_not_at_all(aspirates, preparation):
    lines = aspirates.read_text().splitlines()
    number = lines[2].split(",", 2)[:2]
    lines += [lines[1], ",".join([*number, *lines[3].split(",", 2)[2:]])]
    aspirates.write_text("\n".join(lines))
    ready, rejected = prepare(preparation("breast_cancer"), aspirates)
    assert reasons(rejected) == {
        (len(lines) - 1, "record id: the same row again"),
        (3, "record id: stands again with other content"),
        (len(lines), "record id: stands again with other content"),
    }
    assert len(ready.frame) == len(lines) - 1 - 3


def test_a_patient_with_two_records_stays_on_one_side(aspirates, preparation):
    lines = aspirates.read_text().splitlines()
    lines += [line.replace("A", "B", 1) for line in lines[1:]]
    aspirates.write_text("\n".join(lines))
    ready, _ = prepare(preparation("breast_cancer"), aspirates)
    assert ready.summary.records == 2 * ready.summary.patients
    assert (ready.frame.groupby("patient")["role"].nunique() == 1).all()


def test_the_order_of_the_file_changes_nothing(aspirates, preparation):
    before, _ = prepare(preparation("breast_cancer"), aspirates)
    header, *lines = aspirates.read_text().splitlines()
    aspirates.write_text("\n".join([header, *reversed(lines)]))
    after, _ = prepare(preparation("breast_cancer"), aspirates)
    pd.testing.assert_frame_equal(before.frame, after.frame)


def test_a_site_with_one_outcome_is_prepared_with_a_warning(heart_file, preparation):
    path = heart_file(30)
    path.write_text("\n".join(f"{40 + i},{GOOD.split(',', 1)[1]}" for i in range(30)))
    ready, _ = prepare(preparation("heart"), path)
    assert any(w.startswith("all 21 development records have outcome 1") for w in ready.summary.warnings)
    assert any("AUROC is undefined" in w for w in ready.summary.warnings)


def spec_file(folder, spec):
    path = folder / "spec.json"
    path.write_text(spec.model_dump_json())
    return str(path)


def test_the_command_writes_the_format_and_replaces_an_earlier_folder(
    tmp_path, heart_file, preparation, capsys
):
    spec, out = spec_file(tmp_path, preparation("heart")), tmp_path / "prepared" / "heart-north"
    out.mkdir(parents=True)
    (out / "stale").touch()
    path = heart_file(40, {7: GOOD.replace("63", "old")})
    assert main("sites", COMMANDS, ["prepare", "--spec", spec, "--input", str(path), "--out", str(out)]) == 0
    assert "39 records of 39 patients" in capsys.readouterr().out
    assert {file.name for file in out.iterdir()} == {"records.parquet", "prepared.json", "quarantine.csv"}
    assert (out / "quarantine.csv").read_text().split() == [
        "file,row,reason",
        "processed.test.data,7,age:",
        "not",
        "a",
        "number",
    ]
    summary = json.loads((out / "prepared.json").read_text())
    assert sum(role["records"] for role in summary["roles"].values()) == summary["records"] == 39
    assert summary["format"] == PREPARED_FORMAT
    assert summary["age_mean"] == pytest.approx(
        pd.read_parquet(out / "records.parquet")["age"].mean(), abs=0.05
    )
    assert list(out.parent.iterdir()) == [out]


def test_the_command_refuses_bad_input_with_status_2_and_writes_nothing(
    tmp_path, heart_file, preparation, capsys
):
    spec, out = spec_file(tmp_path, preparation("heart")), tmp_path / "out"
    for path in (heart_file(3), tmp_path / "absent.data"):
        assert (
            main("sites", COMMANDS, ["prepare", "--spec", spec, "--input", str(path), "--out", str(out)]) == 2
        )
        assert str(path) in capsys.readouterr().err
    assert not out.exists()


def test_a_damaged_prepared_folder_is_refused(tmp_path, heart_file, preparation):
    ready, rejected = prepare(preparation("heart"), heart_file())
    prepared.write(tmp_path / "out", ready, rejected)
    frame = ready.frame.copy()
    frame.loc[frame["record"] == 1, "patient"] = 0
    frame["role"] = np.where(frame["record"] == 1, "test", "development")
    frame.to_parquet(tmp_path / "out" / "records.parquet", index=False)
    with pytest.raises(DataError, match="a patient may be on one side only"):
        prepared.read(tmp_path / "out")
    (tmp_path / "out" / "records.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="not a folder of prepared records"):
        prepared.read(tmp_path / "out")
    with pytest.raises(DataError, match="not a folder of prepared records"):
        prepared.read(tmp_path / "nowhere")
