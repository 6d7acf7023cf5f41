"""A growing .npy file is what numpy would have written, and is never taken for whole before it is."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sites.arrays import growing

shapes = st.lists(st.integers(1, 4), max_size=3).map(tuple)


@settings(max_examples=40)
@given(shapes, st.integers(0, 40), st.sampled_from(["uint8", "float32"]))
def test_it_is_the_file_numpy_writes(tmp_path_factory, shape, rows, dtype):
    folder = tmp_path_factory.mktemp("arrays")
    values = (np.random.default_rng(0).random((rows, *shape)) * 255).astype(dtype)
    with growing(folder / "rows.npy", shape, dtype) as file:
        for value in values:
            file.append(value)
        assert file.count == rows
    for mode in (None, "r"):
        found = np.load(folder / "rows.npy", mmap_mode=mode if rows else None, allow_pickle=False)
        assert found.dtype == values.dtype
        np.testing.assert_array_equal(found, values)
    np.save(folder / "whole.npy", values)
    assert (folder / "rows.npy").read_bytes() == (folder / "whole.npy").read_bytes()


def test_a_row_of_another_kind_is_refused(tmp_path):
    with growing(tmp_path / "rows.npy", (2, 2), "uint8") as file:
        for wrong in (
            np.zeros((2, 3), np.uint8),
            np.zeros((2, 2), np.float32),
            np.zeros((1, 2, 2), np.uint8),
        ):
            with pytest.raises(ValueError, match="expected uint8"):
                file.append(wrong)
        file.append(np.ones((2, 2), np.uint8).T)  # rows that numpy stores otherwise are written in order
    assert np.load(tmp_path / "rows.npy").tolist() == [[[1, 1], [1, 1]]]


def test_a_row_in_another_memory_order_is_written_row_by_row(tmp_path):
    turned = np.arange(6, dtype=np.uint8).reshape(3, 2).T
    with growing(tmp_path / "rows.npy", (2, 3), "uint8") as file:
        file.append(turned)
    np.testing.assert_array_equal(np.load(tmp_path / "rows.npy")[0], turned)


def test_an_interrupted_file_counts_no_rows(tmp_path):
    def interrupted():
        with growing(tmp_path / "rows.npy", (2,), "uint8") as file:
            file.append(np.ones(2, np.uint8))
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        interrupted()
    assert len(np.load(tmp_path / "rows.npy")) == 0
