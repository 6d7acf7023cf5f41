import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coordinator.command_line import main
from coordinator.errors import DataError
from sites.__main__ import COMMANDS
from sites.datasets.heart import COLUMNS, LIMITS
from sites.prepare import prepare

GOOD = ["63", "1", "4", "140", "260", "0", "1", "112", "1", "3", "2", "?", "?", "2"]
NUMBER = st.floats(allow_nan=False) | st.integers(-(10**40), 10**40)
on_one_file = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def row(**cells):
    return ",".join({**dict(zip(COLUMNS, GOOD, strict=True)), **cells}.values())


@on_one_file
@given(st.lists(st.tuples(st.integers(0, 39), st.floats(0, 1)), max_size=60))
def test_repeats_anywhere_change_no_record_and_are_all_counted(heart_file, preparation, repeats):
    """However often and wherever a line stands again, the same patients get the same roles."""
    path = heart_file(40)
    before, _ = prepare(preparation("heart"), path)
    originals = path.read_text().splitlines()
    lines = list(originals)
    for original, place in repeats:
        after_it = lines.index(originals[original]) + 1
        lines.insert(after_it + round(place * (len(lines) - after_it)), originals[original])
    path.write_text("\n".join(lines))
    after, rejected = prepare(preparation("heart"), path)
    pd.testing.assert_frame_equal(before.frame, after.frame)
    assert {entry.reason for entry in rejected} <= {"duplicate row"}
    assert len(rejected) == len(repeats)
    assert all(lines[entry.row - 1] in lines[: entry.row - 1] for entry in rejected)


@pytest.mark.parametrize(
    "again",
    [row(), row(age="63.0", ca="", thal=" ? ", fbs="0.0"), row(chol="2.6e2", slope="2.0", oldpeak="+3")],
)
def test_a_repeat_written_otherwise_is_a_repeat(again, heart_file, preparation):
    ready, rejected = prepare(preparation("heart"), heart_file(40, {7: row(), 30: again}))
    assert [(entry.row, entry.reason) for entry in rejected] == [(30, "duplicate row")]
    assert ready.summary.quarantined == {"duplicate row": 1}
    assert ready.summary.patients == 39


@pytest.mark.parametrize("name", COLUMNS)
def test_patients_who_differ_in_one_column_are_two(name, heart_file, preparation):
    other = {"age": "64", "sex": "0", "trestbps": "141", "chol": "?", "thalach": "113", "oldpeak": "3.1"}.get(
        name
    )
    other = other or ("1" if GOOD[COLUMNS.index(name)] != "1" else "0")
    ready, rejected = prepare(preparation("heart"), heart_file(40, {7: row(), 30: row(**{name: other})}))
    assert rejected == []
    assert ready.summary.patients == 40


@on_one_file
@given(st.sampled_from(sorted(LIMITS)), NUMBER)
def test_a_number_is_possible_or_quarantined_by_the_features_name(heart_file, preparation, name, value):
    ready, rejected = prepare(preparation("heart"), heart_file(40, {7: row(**{name: str(value)})}))
    low, high = LIMITS[name]
    assert ready.frame[name].between(low, high).all()
    assert len(rejected) == (not low <= value <= high)
    for entry in rejected:
        assert entry.row == 7
        assert entry.reason in {f"{name}: outside {low} to {high}", f"{name}: not a number"}


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"age": "-63"}, "age: outside 0 to 120"),
        ({"age": "260", "chol": "63"}, "age: outside 0 to 120"),
        ({"trestbps": "1400"}, "trestbps: outside 0 to 350"),
        ({"thalach": "0"}, "thalach: outside 20 to 250"),
        ({"oldpeak": "30"}, "oldpeak: outside -10 to 10"),
        ({"chol": "6.3e300"}, "chol: not a number"),
    ],
)
def test_an_impossible_number_is_quarantined(cells, reason, heart_file, preparation):
    ready, rejected = prepare(preparation("heart"), heart_file(40, {7: row(**cells)}))
    assert [(entry.row, entry.reason) for entry in rejected] == [(7, reason)]
    assert np.isfinite(ready.frame[list(LIMITS)]).all(axis=None)


def test_the_zeros_of_the_published_files_stay(heart_file, preparation):
    ready, rejected = prepare(preparation("heart"), heart_file(40, {7: row(chol="0", trestbps="0")}))
    assert rejected == []
    assert (ready.frame["chol"] == 0).sum() == (ready.frame["trestbps"] == 0).sum() == 1


@pytest.mark.parametrize("width", [13, 15])
def test_a_file_with_a_column_too_few_or_too_many_is_refused(
    width, heart_file, preparation, tmp_path, capsys
):
    path = heart_file(40)
    path.write_text("\n".join(",".join([*line.split(","), "9"][:width]) for line in path.read_text().split()))
    (tmp_path / "spec.json").write_text(preparation("heart").model_dump_json())
    places = ["--spec", str(tmp_path / "spec.json"), "--input", str(path), "--out", str(tmp_path / "out")]
    assert main("sites", COMMANDS, ["prepare", *places]) == 2
    message = " ".join(capsys.readouterr().err.split())
    for part in (str(path), f"40 of 40 rows have {width} columns, expected 14", ", ".join(COLUMNS)):
        assert part in message


@pytest.mark.parametrize("header", [",".join(COLUMNS), "Age,Sex,Pain", ' "age" , "sex" ,,?'])
def test_a_header_is_recognised_and_refused(header, heart_file, preparation):
    path = heart_file(40)
    path.write_text(header + "\n" + path.read_text())
    with pytest.raises(DataError, match=rf"{path}:1: a line of words.* age, sex, .*delete the line"):
        prepare(preparation("heart"), path)
