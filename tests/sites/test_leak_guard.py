"""Whatever was recorded after the time of prediction is an error that names it."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.errors import DataError
from sites.leak_guard import check_times
from sites.reading import Reading


@given(st.dictionaries(st.sampled_from(["hr", "lactate", "ph"]), st.floats(-100, 100)))
def test_exactly_the_late_features_are_named(latest):
    late = {name for name, hours in latest.items() if hours > 1e-6}
    if not late:
        check_times(Reading(pd.DataFrame(), latest=latest), "here")
        return
    with pytest.raises(DataError) as caught:
        check_times(Reading(pd.DataFrame(), latest=latest), "here")
    assert str(caught.value).startswith("here: recorded after the time of prediction: ")
    assert {name for name in latest if f"{name} (up to" in str(caught.value)} == late


def test_the_moment_of_prediction_itself_is_in_time():
    check_times(Reading(pd.DataFrame(), latest={"hr": 0.0, "ph": -24.0}), "here")


def test_how_late_is_said():
    with pytest.raises(DataError, match=r"hr \(up to 1\.5 h\); leave these columns out"):
        check_times(Reading(pd.DataFrame(), latest={"hr": 1.5}), "here")
