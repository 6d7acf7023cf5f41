"""The cohort table's rows: right where they are told, and silent about a few patients."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.config import Site
from sites import prepared
from sites.cells import hidden
from sites.cohort import demographics, role_counts, without_few
from sites.prepare import prepare
from sites.profile import profile
from sites.reading import Feature, Reading, Series

WORD, NUMBER = Feature(name="word", kind="categorical"), Feature(name="number", kind="numeric")
HR = Feature(name="hr", kind="numeric")


def reading(words, numbers, grids=None, **names):
    """Make a reading of one record a patient."""
    frame = pd.DataFrame({"word": pd.Series(words, dtype=object), "number": np.array(numbers, np.float64)})
    frame["patient_id"] = [f"p{i:04d}" for i in range(len(frame))]
    frame["place"] = np.arange(len(frame))
    series = None if grids is None else Series(np.array(grids, np.float32), (HR,), 1.0)
    return Reading(frame, (WORD, NUMBER), series=series, **names), frame


def described(words, numbers=None, min_cell=5, **more):
    found = profile(*reading(words, numbers or [1.0] * len(words), **more), min_cell)
    return {each.name: each for each in found}


words = st.lists(st.sampled_from(["red", "green", "blue", "rare", None]), min_size=1, max_size=80)


@given(words, st.integers(1, 9))
def test_nothing_told_of_words_counts_a_few_patients(drawn, min_cell):
    found = described(drawn, min_cell=min_cell)["word"]
    true = pd.Series(drawn, dtype=object).value_counts()
    told = {level: count for level, count in found.levels.items() if count is not None}
    assert all(true[level] == count >= min_cell for level, count in told.items())
    assert all(true[level] >= min_cell for level in found.levels)
    assert (found.n is None) == (found.missing is None)
    missing = found.missing or 0
    assert missing == 0 or missing >= min_cell
    rest = len(drawn) - sum(told.values()) - missing  # what a reader can work out of what is not told
    assert rest == 0 or rest >= min_cell or rest == len(drawn)
    if not found.small and len(told) == len(true):
        assert (found.n, found.missing) == (len(drawn) - drawn.count(None), drawn.count(None))


@given(st.lists(st.sampled_from([None, 0.0, 1.0, 2.5]), min_size=2, max_size=60), st.integers(1, 9))
def test_numbers_are_told_right_or_not_at_all(drawn, min_cell):
    numbers = [np.nan if value is None else value for value in drawn]
    found = described(["red"] * len(drawn), numbers, min_cell)["number"]
    known = pd.Series(numbers).dropna()
    cells = (len(known), len(drawn) - len(known))
    few = any(0 < cell < min_cell for cell in cells)
    assert (found.n, found.missing) == ((None, None) if few else cells)
    if found.mean is not None:
        assert found.mean == pytest.approx(known.mean())
        assert found.std == pytest.approx(known.std())
        rarest = len(known) - known.value_counts().max()
        assert len(known) >= min_cell
        two = known.nunique() == 2  # the mean of a yes or no, times n, counts the yes
        assert rarest == 0 or rarest >= min_cell or (not two and rarest >= len(known) / 2)
    else:
        assert len(known) < max(min_cell, 2) or len(known) - known.value_counts().max() < min_cell


@given(st.dictionaries(st.text(max_size=3), st.integers(0, 30), max_size=6), st.integers(1, 9))
def test_hidden_cells_are_no_small_cell_together(counts, min_cell):
    found = hidden(counts, min_cell)
    assert {name for name, count in counts.items() if 0 < count < min_cell} <= found
    total = sum(counts[name] for name in found)
    told = {name: count for name, count in counts.items() if name not in found and count}
    assert not found or total >= min_cell or not told
    assert bool(found) == any(0 < count < min_cell for count in counts.values())


def test_a_series_is_told_by_patients_means():
    grids = np.full((12, 4, 1), np.nan)
    grids[:, 0, 0], grids[:, 1, 0] = np.arange(12), np.arange(12) + 2
    grids[:6, 2, 0] = np.arange(6) + 1  # unequally often measured, the same mean
    found = described(["red"] * 12, grids=grids)["hr"]
    assert (found.kind, found.n, found.missing) == ("series", 12, 0)
    assert found.mean == pytest.approx(np.arange(12).mean() + 1)


def test_only_a_patients_first_record_counts():
    read, frame = reading(["red"] * 10 + ["blue"] * 10, [1.0] * 10 + [9.0] * 10)
    frame["patient_id"] = [f"p{i % 10}" for i in range(20)]
    found = {each.name: each for each in profile(read, frame, 5)}
    assert found["word"].levels == {"red": 10}
    assert (found["number"].n, found["number"].mean) == (10, 1.0)


def test_age_and_sex_come_first_and_need_be_no_input():
    read, frame = reading(["female", "male"] * 10, [60.0, 70.0] * 10, age="number", sex="word")
    without = Reading(frame, (), series=None, age="number", sex="word")
    for each in (read, without):
        assert [(row.name, row.kind) for row in profile(each, frame, 5)] == [
            ("number", "numeric"),
            ("word", "categorical"),
        ]


def records(outcomes):
    """Make records of one patient each: role to (with outcome, without)."""
    counts = [(role, label, pair[1 - label]) for role, pair in outcomes.items() for label in (1, 0)]
    rows = [(role, label) for role, label, count in counts for _ in range(count)]
    frame = pd.DataFrame(rows, columns=["role", "label"])
    return frame.assign(patient=np.arange(len(frame)))


@pytest.mark.parametrize(
    ("development", "test", "told", "whole"),
    [((20, 30), (6, 7), True, 26), ((20, 30), (4, 7), False, 24), ((20, 30), (6, 2), False, 26),
     ((20, 30), (6, 0), True, 26), ((2, 30), (1, 7), False, None), ((30, 2), (5, 2), False, None)],
)  # fmt: skip
def test_outcomes_of_a_few_patients_are_not_counted(development, test, told, whole):
    frame = records({"development": development, "test": test})
    roles, events = without_few(role_counts(frame), frame, 5)
    assert [roles[role].events for role in ("development", "test")] == (
        [development[0], test[0]] if told else [None, None]
    )
    assert roles["test"].records == sum(test)
    assert events == whole


def test_many_records_of_a_few_patients_are_few():
    frame = records({"development": (20, 30), "test": (6, 7)})
    frame.loc[(frame["role"] == "test") & (frame["label"] == 1), "patient"] = 1000
    assert without_few(role_counts(frame), frame, 5)[0]["test"].events is None


@pytest.mark.parametrize(
    ("women", "men", "unknown", "share"),
    [
        (20, 30, 0, 0.4),
        (20, 30, 9, 0.4),
        (20, 30, 4, None),
        (4, 30, 0, None),
        (30, 4, 0, None),
        (0, 30, 0, 0.0),
    ],
)
def test_a_share_of_women_does_not_count_a_few_patients(women, men, unknown, share):
    sex = ["female"] * women + ["male"] * men + [None] * unknown
    frame = pd.DataFrame({"sex": pd.Series(sex, dtype=object), "patient_id": np.arange(len(sex))})
    assert demographics(frame, None, "sex", 5).get("female_share") == share


@pytest.mark.parametrize("site", ["cleveland", "hungarian", "switzerland", "va"])
def test_the_real_heart_data_are_told_of_as_they_are(site, data_root, preparation, tmp_path):
    path = data_root / "heart_disease" / f"processed.{site}.data"
    ready, rejected = prepare(preparation("heart", site=Site(name=site)), path)
    prepared.write(tmp_path / site, ready, rejected)
    summary = json.loads((tmp_path / site / "prepared.json").read_text())
    found = {each["name"]: each for each in summary["profile"]}
    assert list(found)[:2] == ["age", "sex"]
    checked = 0
    for name, each in found.items():
        column = ready.frame[name]
        assert each["n"] in (None, column.notna().sum())
        if each["mean"] is not None:
            assert each["mean"] == pytest.approx(column.mean())
            checked += 1
        for level, count in each["levels"].items():
            assert count in (None, (column == level).sum())
            checked += count is not None
    assert checked > 10


def test_switzerlands_few_healthy_test_patients_are_not_counted(data_root, preparation):
    path = data_root / "heart_disease" / "processed.switzerland.data"
    ready, _ = prepare(preparation("heart", site=Site(name="switzerland")), path)
    assert ready.summary.events == 115
    assert ready.summary.roles["test"].events is None
    assert ready.frame["label"].sum() == 115
