"""What a site tells of its training rows: merged it is the pool's, and nothing in it is of a few patients."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator.aggregates import BINS
from coordinator.config import Site
from coordinator.specs import PREPARED_FORMAT
from coordinator.statistics import left_out, merge
from sites import aggregates, prepared
from sites.aggregates import aggregate
from sites.datasets.heart import LIMITS
from sites.prepare import prepare
from sites.prepared import Count, ImageShape, Prepared, SeriesShape, Summary
from sites.reading import Feature
from sites.records import row_roles

SHARE, SEED = 0.15, 4
NUMBERS = (
    Feature(name="a", kind="numeric", low=-8, high=8),
    Feature(name="b", kind="numeric"),
    Feature(name="flag", kind="numeric", low=0, high=1),
)
WORD = Feature(name="word", kind="categorical")
VARIABLES = (Feature(name="hr", kind="numeric", low=0, high=200), Feature(name="lab", kind="numeric"))
QUARTERS = np.array([0.25, 0.5, 0.75])
STEPS, SIDE, CHANNELS = 6, 4, 3


def hospital(seed, records=80, name="north", start=0):
    """Draw a site whose patients have one to three records of all modalities, with gaps."""
    draw = np.random.default_rng(seed)
    patient = np.sort(draw.integers(0, max(1, records // 2), records))
    words = draw.choice(["red", "green", "blue"], records, p=[0.6, 0.3, 0.1]).astype(object)
    frame = pd.DataFrame(
        {"record": np.arange(records), "patient": np.unique(patient, return_inverse=True)[1]}
    )
    frame["label"] = draw.integers(0, 2, records)
    tested = draw.random(frame["patient"].nunique()) < 0.3
    frame["role"] = np.where(tested[frame["patient"]], "test", "development").astype(object)
    frame["with_series"], frame["with_image"] = True, draw.random(records) < 0.8
    for place, feature in enumerate(NUMBERS[:2]):
        values = draw.normal(start + place, 2.0, records).clip(-8, 8)
        frame[feature.name] = np.where(draw.random(records) < 0.15, np.nan, values)
    frame["flag"] = (draw.random(records) < 0.3).astype(float)
    frame["word"] = pd.Series(words).where(draw.random(records) > 0.1).astype("string")
    series = draw.uniform(40, 160, (records, STEPS, 2)).astype(np.float32)
    series[draw.random(series.shape) < 0.4] = np.nan
    images = draw.integers(0, 256, (records, CHANNELS, SIDE, SIDE)).astype(np.uint8)
    images[~frame["with_image"]] = 0
    return Prepared(summary_of(frame, name), frame, series, images)


def summary_of(frame, name):
    none = Count(records=0, patients=0, events=0)
    return Summary(
        format=PREPARED_FORMAT, site=name, title="", source="drawn", modalities=("table", "series", "image"),
        features=(*NUMBERS, WORD), series=SeriesShape(steps=STEPS, step_hours=1.0, variables=VARIABLES),
        image=ImageShape(shape=(CHANNELS, SIDE, SIDE), dtype="uint8"), records=len(frame),
        patients=int(frame["patient"].nunique()), events=int(frame["label"].sum()),
        roles=dict.fromkeys(("development", "test", "auxiliary"), none), quarantined={}, warnings=(),
    )  # fmt: skip


def merged(folder, ready, min_cell, seed=SEED):
    """Write some sites, aggregate each on its own, and merge; as the sites get it."""
    parts = {}
    for each in ready:
        prepared.write(folder / each.summary.site, each, [])
        parts[each.summary.site] = aggregate(folder / each.summary.site, seed, SHARE, min_cell)
    return json.loads(json.dumps(merge("task", seed, parts))), parts


def pooled(ready, seed=SEED):
    """Put the values of all training rows together: name to (n,), NaN where missing."""
    found = {}
    for each in ready:
        rows = np.flatnonzero(row_roles(each, seed, SHARE) == "train")
        frame = each.frame.iloc[rows]
        for feature in each.summary.features:
            if feature.kind == "numeric":
                found.setdefault(feature.name, []).append(frame[feature.name].to_numpy())
        for place, variable in enumerate(VARIABLES if each.series is not None else ()):
            found.setdefault(variable.name, []).append(each.series[rows][:, :, place].ravel())
        if each.images is not None:
            shown = each.images[rows][frame["with_image"].to_numpy()] / 255
            for channel in range(shown.shape[1]):
                found.setdefault(str(channel), []).append(shown[:, channel].ravel())
    return {name: np.concatenate(arrays).astype(np.float64) for name, arrays in found.items()}


def described(statistics):
    return {each["name"]: each for kind in ("numeric", "series", "image") for each in statistics[kind]}


def check_equal(statistics, values, limits):
    """Hold merged statistics against the pool: moments to 1e-6, quartiles to one bin."""
    found = described(statistics)
    assert set(found) == set(values)
    for name, column in values.items():
        known = column[np.isfinite(column)]
        assert found[name]["n"] == len(known)
        assert found[name]["missing"] == len(column) - len(known)
        if len(known):
            assert found[name]["mean"] == pytest.approx(known.mean(), rel=1e-6, abs=1e-6)
        if len(known) and known.std() > 0:
            assert found[name]["std"] == pytest.approx(known.std(), rel=1e-6)
        if name in limits and len(known):
            # where a quarter of the values is a whole number, any number up to the next value is a quartile
            lowest = np.quantile(known, QUARTERS, method="inverted_cdf")
            highest = np.sort(known)[np.floor(QUARTERS * len(known)).astype(int)]
            width = (limits[name][1] - limits[name][0]) / BINS + 1e-9
            quartiles = np.array(found[name]["quartiles"])
            assert ((lowest - width <= quartiles) & (quartiles <= highest + width)).all()
            assert found[name]["uncounted"] == 0


DRAWN = {"a": (-8, 8), "flag": (0, 1), "hr": (0, 200), **{str(c): (0, 1) for c in range(CHANNELS)}}


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(4, 90)), min_size=1, max_size=4))
def test_merged_is_pooled_where_no_cell_is_suppressed(tmp_path_factory, drawn):
    """For a table, a series and an image; whatever the sites' sizes, gaps and repeated patients."""
    ready = [hospital(seed, size, f"site{i}", start=i) for i, (seed, size) in enumerate(drawn)]
    statistics, parts = merged(tmp_path_factory.mktemp("drawn"), ready, min_cell=1)
    check_equal(statistics, pooled(ready), DRAWN)
    assert all(part.suppressed == 0 for part in parts.values())
    assert "equal those of all training rows pooled" in left_out(statistics)
    frames = [each.frame[row_roles(each, SEED, SHARE) == "train"] for each in ready]
    words = sorted(set(pd.concat(frames)["word"].dropna()))
    assert statistics["categorical"] == [{"name": "word", "levels": words}]


@pytest.mark.parametrize("block", [1, 7, 100])
def test_how_rows_are_read_changes_no_cell(block, tmp_path, monkeypatch):
    ready = [hospital(1, 90)]
    _, whole = merged(tmp_path / "whole", ready, min_cell=4)
    monkeypatch.setattr(aggregates, "MOST_ROWS", block)
    _, parts = merged(tmp_path / "parts", ready, min_cell=4)
    one, other = whole["north"], parts["north"]
    assert (one.histogram == other.histogram).all()
    assert (one.n == other.n).all()
    assert one.mean == pytest.approx(other.mean, rel=1e-12)
    assert (one.levels, one.suppressed) == (other.levels, other.suppressed)
    assert one.suppressed > 0


@pytest.fixture(scope="module")
def real_heart(data_root, preparation):
    """Prepare the four hospitals of the UCI heart data."""
    found = []
    for site in ("cleveland", "hungarian", "switzerland", "va"):
        path = data_root / "heart_disease" / f"processed.{site}.data"
        found.append(prepare(preparation("heart", site=Site(name=site)), path)[0])
    return found


def test_the_real_heart_data_agree_as_pooled(real_heart, tmp_path):
    statistics, _ = merged(tmp_path, real_heart, min_cell=1)
    check_equal(statistics, pooled(real_heart), LIMITS)


def test_on_the_real_heart_data_small_cells_change_no_moment_and_are_printed(real_heart, tmp_path):
    statistics, parts = merged(tmp_path, real_heart, min_cell=5)
    values = pooled(real_heart)
    check_equal(statistics, values, {})
    assert min(part.suppressed for part in parts.values()) > 0
    lost = {name: each["uncounted"] for name, each in described(statistics).items()}
    for name, each in described(statistics).items():
        counts = np.array([part.histogram[part.names.index(name)] for part in parts.values()])
        assert lost[name] == each["n"] - counts.sum()
    line = left_out(statistics)
    assert f"{parts['cleveland'].suppressed} at cleveland" in line
    assert f"{sum(lost.values())} of {sum(each['n'] for each in described(statistics).values())}" in line


def patients_with(part_of, ready):
    """Count the training patients for whom a flag per record holds."""
    train = row_roles(ready, SEED, SHARE) == "train"
    return ready.frame["patient"][train & part_of].nunique()


@pytest.mark.parametrize("min_cell", [3, 5, 8])
def test_no_cell_stands_for_fewer_patients_than_configured(min_cell, tmp_path):
    """Counted over what leaves: each bin that is told, each word and each variable."""
    ready = hospital(2, 90)
    _, parts = merged(tmp_path, [ready], min_cell)
    part = parts["north"]
    told = 0
    for feature in (NUMBERS[0], NUMBERS[2]):
        values, low, high = ready.frame[feature.name].to_numpy(), feature.low, feature.high
        place = np.minimum((values - low) * BINS // (high - low), BINS - 1)
        for index in np.flatnonzero(part.histogram[part.names.index(feature.name)]):
            assert patients_with(place == index, ready) >= min_cell
            told += 1
    assert told
    place = np.minimum(ready.series[:, :, 0] * BINS // 200, BINS - 1)
    for index in np.flatnonzero(part.histogram[part.names.index("series:hr")]):
        assert patients_with((place == index).any(axis=1), ready) >= min_cell
    for word in part.levels["word"]:
        assert patients_with((ready.frame["word"] == word).fillna(False).to_numpy(bool), ready) >= min_cell


def test_many_values_of_few_patients_are_a_small_cell(tmp_path):
    """A monitor measured four patients a hundred times: the mean would be about four."""
    ready = hospital(3, 90)
    grids, train = ready.series.copy(), row_roles(ready, SEED, SHARE) == "train"
    chosen = ready.frame["patient"][train].unique()[:4]
    grids[~ready.frame["patient"].isin(chosen), :, 1] = np.nan
    grids[ready.frame["patient"].isin(chosen), :, 1] = 7.0
    _, parts = merged(tmp_path, [replace(ready, series=grids)], min_cell=5)
    lab = parts["north"].names.index("series:lab")
    assert parts["north"].n[lab] == parts["north"].mean[lab] == parts["north"].m2[lab] == 0
    assert parts["north"].missing[lab] == train.sum() * STEPS
    _, parts = merged(tmp_path, [replace(ready, series=grids)], min_cell=4)
    assert parts["north"].mean[lab] == pytest.approx(7.0)


@pytest.mark.parametrize(("ones", "told"), [(0, True), (1, False), (4, False), (5, True)])
def test_a_mean_does_not_count_a_few_patients(ones, told, tmp_path):
    """The mean of a yes or no, coded 1 and 0, times n is the number of yes."""
    ready = hospital(4, 90)
    frame, train = ready.frame.copy(), row_roles(ready, SEED, SHARE) == "train"
    frame["flag"] = frame["patient"].isin(frame["patient"][train].unique()[:ones]).astype(float)
    _, parts = merged(tmp_path, [replace(ready, frame=frame)], min_cell=5)
    flag = parts["north"].names.index("flag")
    part = parts["north"]
    assert (part.n[flag], part.missing[flag]) == (train.sum(), 0)
    true = frame["flag"][train]
    assert part.mean[flag] == (pytest.approx(true.mean()) if told else 0)
    assert part.m2[flag] == (pytest.approx(((true - true.mean()) ** 2).sum()) if told else 0)
    assert part.histogram[flag][0] == ((true == 0).sum() if told else train.sum())
    nothing, _ = merged(tmp_path / "no", [replace(ready, frame=frame.assign(flag=0.0))], min_cell=5)
    shown, _ = merged(tmp_path / "few", [replace(ready, frame=frame)], min_cell=5)
    assert (described(nothing)["flag"] == described(shown)["flag"]) == (not told or ones == 0)


@pytest.mark.parametrize(("events", "told"), [(0, True), (4, False), (5, True)])
def test_a_few_outcomes_are_not_counted(events, told, tmp_path):
    ready = hospital(5, 90)
    frame, train = ready.frame.copy(), row_roles(ready, SEED, SHARE) == "train"
    for label in (0, 1):
        chosen = frame["patient"].isin(frame["patient"][train].unique()[:events])
        frame["label"] = np.where(chosen, label, 1 - label)
        # the outcomes would change who trains
        roles = np.where(train, "train", "test")
        counts, unsaid = aggregates._counts(replace(ready, frame=frame), roles, 5)
        assert counts.get("train_events") == (frame["label"][train].sum() if told else None)
        assert unsaid == (not told)


def test_nothing_is_left_where_every_cell_is_small(tmp_path):
    _, parts = merged(tmp_path, [hospital(6, 60)], min_cell=1000)
    part = parts["north"]
    assert not any(part.levels.values())
    assert part.n.sum() == part.mean.sum() == part.m2.sum() == part.histogram.sum() == 0
    assert part.missing[part.names.index("a")] == part.counts["train"]
    assert "train_events" not in part.counts
    assert part.suppressed > len(part.names)


def test_only_training_rows_count(tmp_path):
    ready = hospital(7, 90)
    rest = row_roles(ready, SEED, SHARE) != "train"
    frame, grids, images = ready.frame.copy(), ready.series.copy(), ready.images.copy()
    frame.loc[rest, ["a", "b"]], frame.loc[rest, "word"] = 6.5, "violet"
    grids[rest], images[rest] = 199.0, 255
    _, before = merged(tmp_path / "before", [ready], min_cell=2)
    spoiled = Prepared(ready.summary, frame, grids, images)
    _, after = merged(tmp_path / "after", [spoiled], min_cell=2)
    for name in ("n", "mean", "m2", "missing", "histogram"):
        assert (getattr(before["north"], name) == getattr(after["north"], name)).all()
    assert before["north"].levels == after["north"].levels
    assert rest.sum() > 20


def test_a_site_that_only_tests_tells_of_no_row(tmp_path):
    ready = hospital(8, 60)
    held_out = replace(ready, frame=ready.frame.assign(role="test"))
    statistics, parts = merged(tmp_path, [hospital(9, 60, "south"), held_out], min_cell=1)
    assert parts["north"].n.sum() == parts["north"].missing.sum() == 0
    alone, _ = merged(tmp_path, [hospital(9, 60, "south")], min_cell=1)
    for name, each in described(alone).items():
        assert described(statistics)[name]["mean"] == pytest.approx(each["mean"], rel=1e-12)
