import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.errors import DataError
from sites.tables import numbers, read_cells, repeats

LARGEST = float(np.finfo(np.float32).max)


@given(st.lists(st.floats() | st.integers(-(10**400), 10**400) | st.sampled_from(["?", "", "x"])))
def test_a_number_is_finite_in_float32_or_flagged(cells):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        values, flags = numbers(pd.Series([str(cell) for cell in cells], dtype=object))
        assert np.isfinite(values.astype(np.float32)[~np.isnan(values)]).all()
    for cell, value, flag in zip(cells, values, flags, strict=True):
        if isinstance(cell, str) or cell != cell:  # nan is a word for missing
            assert np.isnan(value)
            assert flag == (cell == "x")
        else:
            assert flag == np.isnan(value) == (abs(cell) > LARGEST)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2))))
def test_a_repeat_is_every_row_but_the_first_of_its_kind(rows):
    frame = pd.DataFrame([(str(a), f"{b}.0" if a else str(b)) for a, b in rows], columns=["a", "b"])
    assert (~repeats(frame, ["a", "b"])).sum() == len(set(rows))
    assert list(repeats(frame, ["a", "b"])) == [entry in rows[:i] for i, entry in enumerate(rows)]


@pytest.mark.parametrize(("wrong", "refused"), [(4, False), (5, False), (6, True), (10, True)])
def test_rows_of_another_width_are_rejected_and_a_file_of_them_refused(wrong, refused, tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("a,b\n" + "1\n" * wrong + "1,2\n" * (10 - wrong))
    if refused:
        with pytest.raises(
            DataError, match=rf"{path}: {wrong} of 10 rows have 1 columns, expected 2.*: a, b;"
        ):
            read_cells(path, ["a", "b"])
    else:
        frame, rejected = read_cells(path, ["a", "b"])
        assert (len(frame), len(rejected)) == (10 - wrong, wrong)


def test_a_first_record_where_a_header_belongs_is_refused_without_its_values(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("4711,benign\n4712,malignant\n")
    with pytest.raises(
        DataError, match=rf"{path}:1: the first line holds numbers; .* number, outcome"
    ) as caught:
        read_cells(path, ["number", "outcome"])
    assert "4711" not in str(caught.value).removeprefix(str(path))
