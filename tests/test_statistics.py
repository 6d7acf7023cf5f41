import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from coordinator.aggregates import BINS, Aggregates, Moments, combined
from coordinator.errors import ProtocolError
from coordinator.statistics import columns, left_out, merge, quartiles

FEATURES = 3
tables = st.integers(0, 30).flatmap(
    lambda rows: arrays(np.float64, (rows, FEATURES), elements=st.floats(-1e4, 1e4) | st.just(np.nan))
)


def moments(rows):
    present = np.isfinite(rows)
    n = present.sum(axis=0)
    mean = np.where(present, rows, 0).sum(axis=0) / np.maximum(n, 1)
    return Moments(n, mean, (np.where(present, rows - mean, 0) ** 2).sum(axis=0))


def part(rows, **changes):
    found = moments(rows)
    counts = {"train": len(rows), "train_events": 0, "validation": 1, "test": 2, "auxiliary": 3}
    plain = {"counts": counts, "names": ("a", "b", "c"), "missing": len(rows) - found.n, **found._asdict()}
    plain |= {"limits": np.full((3, 2), np.nan), "histogram": np.zeros((3, BINS), np.int64)}
    return Aggregates(**{**plain, **changes})


@given(st.lists(tables, min_size=1, max_size=5))
def test_merged_moments_equal_the_pooled_ones(sites):
    merged = merge("task", 0, {f"site{i}": part(rows) for i, rows in enumerate(sites)})
    pooled = moments(np.concatenate(sites))
    for i, feature in enumerate(merged["numeric"]):
        spread = np.sqrt(pooled.m2[i] / pooled.n[i]) if pooled.n[i] else 0
        assert feature["n"] == pooled.n[i]
        assert feature["missing"] == sum(len(rows) for rows in sites) - pooled.n[i]
        assert feature["mean"] == pytest.approx(pooled.mean[i], rel=1e-9, abs=1e-9)
        if spread > 1e-6:
            assert feature["std"] == pytest.approx(spread, rel=1e-9, abs=1e-9)


@given(tables, tables, tables)
def test_merging_does_not_depend_on_the_grouping(a, b, c):
    a, b, c = moments(a), moments(b), moments(c)
    left, right = combined(combined(a, b), c), combined(a, combined(b, c))
    for one, other in zip(left, right, strict=True):
        assert one == pytest.approx(other, rel=1e-9, abs=1e-6)


def test_a_large_offset_loses_no_variance():
    """Sums of squares would: the reason for merging moments (Chan 1979)."""
    rows = np.random.default_rng(0).normal(1e8, 1.0, (300, FEATURES))
    merged = merge("task", 0, {"x": part(rows[:90]), "y": part(rows[90:])})
    assert [feature["std"] for feature in merged["numeric"]] == pytest.approx(rows.std(axis=0), rel=1e-7)


def test_constant_and_unmeasured_features_are_not_divided_by_zero():
    rows = np.column_stack([np.full(9, 0.1), np.full(9, np.nan), np.arange(9.0)])
    numeric = merge("task", 0, {"x": part(rows[:4]), "y": part(rows[4:])})["numeric"]
    assert [feature["std"] for feature in numeric[:2]] == [1.0, 1.0]
    assert numeric[1]["mean"] == 0.0


def test_the_content_is_what_the_sites_read():
    rows = np.arange(12.0).reshape(4, 3)
    rows[0, 1] = np.nan
    parts = {
        "x": part(rows, levels={"sex": ("male",), "cp": ()}, suppressed=2),
        "y": part(rows[1:], levels={"sex": ("male", "female"), "cp": ()}),
    }
    merged = json.loads(json.dumps(merge("task", 3, parts)))
    assert merged["sites"]["y"] == {"train": 3, "train_events": 0, "validation": 1, "test": 2, "auxiliary": 3}
    assert merged["categorical"] == [
        {"name": "sex", "levels": ["female", "male"]},
        {"name": "cp", "levels": []},
    ]
    assert merged["suppressed"] == {"x": 2, "y": 0}
    assert columns(merged) == ["a", "b", "c", "b:missing", "sex=female", "sex=male"]
    assert merged["input_shapes"] == {"table": [6]}
    assert (merged["task"], merged["seed"]) == ("task", 3)


def test_images_keep_their_shape():
    names = tuple(f"image:{channel}" for channel in range(3))
    merged = merge("task", 0, {"x": part(np.ones((5, 3)), names=names, shapes={"image": (3, 8, 8)})})
    assert merged["input_shapes"] == {"image": [3, 8, 8]}
    assert [channel["name"] for channel in merged["image"]] == ["0", "1", "2"]


def test_a_series_variable_may_have_a_colon_in_its_name():
    names = ("series:a:b", "series:hr", "c")
    parts = {"x": part(np.ones((5, 3)), names=names, shapes={"table": (), "series": (4, 2)})}
    merged = merge("task", 0, parts)
    assert [each["name"] for each in merged["series"]] == ["a:b", "hr"]
    assert merged["input_shapes"] == {"table": [1], "series": [4, 4], "present": [2]}


LIMITS = np.array([[0.0, 10.0], [0.0, 10.0], [np.nan, np.nan]])


@given(st.lists(st.floats(0, 10), min_size=1, max_size=60), st.integers(1, 3))
def test_quartiles_are_the_pools_to_one_bin(values, sites):
    rows = np.array(values)
    dealt = [np.histogram(rows[i::sites], BINS, (0, 10))[0] for i in range(sites)]
    found = np.array(quartiles(np.sum(dealt, axis=0), 0.0, 10.0))
    quarters, width = np.array([0.25, 0.5, 0.75]), 10 / BINS + 1e-9
    lowest = np.quantile(rows, quarters, method="inverted_cdf")
    highest = np.sort(rows)[np.floor(quarters * len(rows)).astype(int)]
    assert ((lowest - width <= found) & (found <= highest + width)).all()


def test_what_no_site_may_tell_of_is_scaled_by_its_limits():
    rows = np.column_stack([np.full(9, np.nan), np.full(9, 3.0), np.full(9, np.nan)])
    numeric = merge("task", 0, {"x": part(rows, limits=LIMITS)})["numeric"]
    assert [(each["mean"], each["std"]) for each in numeric] == [(5.0, 2.5), (3.0, 2.5), (0.0, 1.0)]


def test_what_was_left_out_is_said():
    rows = np.full((9, 3), 4.0)
    histogram = np.zeros((3, BINS), np.int64)
    histogram[0, 40], histogram[1, 40] = 9, 7
    whole = merge("task", 0, {"x": part(rows, limits=LIMITS, histogram=histogram)})
    assert left_out(whole).startswith("no cell was suppressed")
    parts = {
        "x": part(rows, limits=LIMITS, histogram=histogram, suppressed=3),
        "y": part(rows, limits=LIMITS),
    }
    merged = merge("task", 0, parts)
    assert [each.get("uncounted") for each in merged["numeric"]] == [9, 11, None]
    assert left_out(merged) == (
        "cells too small to leave a site: 3 at x; 20 of 36 values are in no histogram's bin"
    )


def one(name, value, place=0):
    """Change one number of a part's array."""
    array = getattr(part(np.ones((3, FEATURES))), name).copy()
    array.flat[place] = value
    return {name: array}


HUGE = 2**63 - 1


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"shapes": {"table": (), "image": (1, 2, 2)}}, "features .* in shapes"),
        ({"shapes": {"image": (1, 2)}}, "shapes"),
        ({"shapes": {"series": ()}}, "shapes"),
        ({"shapes": {"sound": (2,)}}, "shapes"),
        ({"shapes": {}}, "shapes"),
        (one("mean", np.nan, 1), "not finite"),
        (one("limits", np.inf), "not finite"),
        (one("m2", -1.0), "negative"),
        (one("n", -1), "negative"),
        (one("histogram", -1), "negative"),
        (one("n", 9), "more values than training rows"),
        (one("n", HUGE), "more values than training rows"),
        ({**one("n", 3), **one("missing", HUGE)}, "more values than training rows"),
        (one("histogram", 4), "histogram of more values"),
        ({"histogram": np.full((3, BINS), HUGE)}, "histogram of more values"),
        ({"n": np.array([1, 1])}, "for 3 features"),
        ({"n": np.ones(3)}, "arrays of .*float64"),
        ({"n": np.ones(3, np.int8)}, "arrays of .*int8"),
        ({"counts": {"train": 3}}, "counts"),
        ({"counts": {"train": 3, "train_events": 4, "validation": 0, "test": 0, "auxiliary": 0}}, "counts"),
        ({"counts": {"train": 2**60, "validation": 0, "test": 0, "auxiliary": 0}}, "endless"),
        ({"counts": {"train": 3, "validation": -1, "test": 0, "auxiliary": 0}}, "negative"),
        ({"suppressed": -1}, "negative"),
    ],
)
@pytest.mark.parametrize("first", [False, True])
def test_impossible_aggregates_are_refused_by_site(changes, problem, first):
    good = part(np.ones((3, FEATURES)))
    parts = {"x": good, "y": replace(good, **changes)}
    with pytest.raises(ProtocolError, match=f"site 'y' sent .*{problem}"):
        merge("task", 0, dict(reversed(parts.items())) if first else parts)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [({"names": ("a", "b", "z")}, "expected .*'c'"), ({"levels": {"sex": ()}}, "aggregates of .*sex")],
)
def test_a_site_that_describes_other_features_is_refused(changes, problem):
    good = part(np.ones((3, FEATURES)))
    with pytest.raises(ProtocolError, match=f"site 'y' sent .*{problem}"):
        merge("task", 0, {"x": good, "y": replace(good, **changes)})
