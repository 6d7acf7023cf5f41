import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from coordinator.errors import ProtocolError
from coordinator.statistics import Aggregates, Moments, columns, combined, merge

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
        "x": part(rows, levels={"sex": {"male": 7}, "cp": {}}, suppressed=2),
        "y": part(rows[1:], levels={"sex": {"female": 6, "male": 5}, "cp": {}}),
    }
    merged = json.loads(json.dumps(merge("task", 3, parts)))
    assert merged["sites"]["y"] == {"train": 3, "train_events": 0, "validation": 1, "test": 2, "auxiliary": 3}
    assert merged["categorical"] == [
        {"name": "sex", "levels": ["female", "male"]},
        {"name": "cp", "levels": []},
    ]
    assert merged["suppressed"] == {"x": 2, "y": 0}
    assert columns(merged) == ["a", "b", "c", "b:missing", "sex=female", "sex=male"]
    assert merged["input_shape"] == [6]
    assert (merged["task"], merged["seed"]) == ("task", 3)


def test_images_keep_their_shape():
    parts = {"x": part(np.ones((5, 3)), shape=(1, 8, 8), counts={**part(np.ones((1, 3))).counts})}
    assert merge("task", 0, parts)["input_shape"] == [1, 8, 8]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"names": ("a", "b", "z")}, "expected .*'c'"),
        ({"levels": {"sex": {}}}, "aggregates of"),
        ({"shape": (1, 2, 2)}, "aggregates of"),
        ({"mean": np.array([0, np.nan, 0])}, "not finite"),
        ({"m2": np.array([0, -1.0, 0])}, "negative"),
        ({"n": np.array([9, 0, 0])}, "more values than training rows"),
        ({"n": np.array([1, 1])}, "for 3 features"),
        ({"n": np.ones(3)}, "arrays of .*float64"),
        ({"counts": {"train": 3}}, "counts"),
    ],
)
def test_impossible_aggregates_are_refused_by_site(changes, problem):
    good = part(np.ones((3, FEATURES)))
    with pytest.raises(ProtocolError, match=f"site 'y' sent .*{problem}"):
        merge("task", 0, {"x": good, "y": replace(good, **changes)})
