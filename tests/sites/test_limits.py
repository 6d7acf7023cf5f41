"""What a variable cannot be becomes missing and is counted; nothing else is touched."""

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from sites.limits import within
from sites.reading import Feature, Reading, Series

numbers = st.floats(-1e3, 1e3) | st.just(np.nan)
FEATURES = (
    Feature(name="age", kind="numeric", low=0, high=120),
    Feature(name="ph", kind="numeric", low=6.5),
    Feature(name="free", kind="numeric"),
    Feature(name="ward", kind="categorical", low=0, high=1),
)


def reading(rows, grids=None):
    frame = pd.DataFrame(rows, columns=["age", "ph", "free"], dtype="float64").assign(ward="icu")
    return Reading(frame, FEATURES, series=grids)


@settings(max_examples=40)
@given(st.lists(st.tuples(numbers, numbers, numbers), min_size=1, max_size=30))
def test_numbers_outside_become_missing_and_are_counted(rows):
    before = reading(rows)
    after, outside = within(before)
    values, kept = (each.frame[["age", "ph", "free"]].to_numpy() for each in (before, after))
    wrong = np.column_stack(
        [(values[:, 0] < 0) | (values[:, 0] > 120), values[:, 1] < 6.5, np.zeros(len(values))]
    )
    np.testing.assert_array_equal(np.isnan(kept), np.isnan(values) | (wrong == 1))
    np.testing.assert_array_equal(kept[wrong == 0], values[wrong == 0])
    expected = dict(zip(("age", "ph"), wrong.sum(axis=0), strict=False))
    assert outside == {name: count for name, count in expected.items() if count}
    assert after.frame["ward"].tolist() == before.frame["ward"].tolist()
    again, none = within(after)
    assert none == {}
    assert again.frame.equals(after.frame)


def test_the_limits_themselves_are_possible():
    after, outside = within(reading([(0.0, 6.5, 0.0), (120.0, 1e300, -1e300)]))
    assert outside == {}
    assert after.frame.notna().all(axis=None)


def test_a_series_is_limited_by_variable_and_the_file_s_own_is_left_as_it_was():
    values = np.array([[[60, 1], [400, 2]], [[-5, 3], [np.nan, 900]]], dtype=np.float32)
    variables = (Feature(name="hr", kind="numeric", low=0, high=300), Feature(name="other", kind="numeric"))
    before = Reading(pd.DataFrame(index=range(2)), series=Series(values, variables, 1.0))
    after, outside = within(before)
    assert outside == {"hr": 2}
    np.testing.assert_array_equal(after.series.values[:, :, 0], [[60, np.nan], [np.nan, np.nan]])
    np.testing.assert_array_equal(after.series.values[:, :, 1], values[:, :, 1])
    assert values[0, 1, 0] == 400
