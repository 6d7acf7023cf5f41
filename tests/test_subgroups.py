"""AUROC by sex and age band: what is told, what is hidden, and that it is the AUROC of those records."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from coordinator.comparison.predictions import TaskScores
from coordinator.comparison.subgroups import FEW, GUARDED, small, subgroup_rows
from sites.subgroups import bands

N = 120


def scores(sex, label=None):
    draw = np.random.default_rng(0)
    label = (np.arange(N) % 3 == 0).astype(np.int64) if label is None else label
    found = {seed: 1 / (1 + np.exp(-(label + draw.normal(size=N)))) for seed in (0, 1)}
    site = np.repeat([0, 1], N // 2)
    patient = np.arange(N) // 2  # two records each
    groups = {"sex": np.array(sex)}
    return TaskScores("t", ("a", "b"), site, patient, label, {"split": found}, groups=groups)


def told(sex, **options):
    return {row["group"]: row for row in subgroup_rows(scores(sex, **options), 5)}


def test_a_subgroup_s_auroc_is_that_of_its_records_and_the_mean_over_seeds():
    sex = ["female"] * 50 + ["male"] * 50 + [""] * 20
    given = scores(sex)
    rows = {row["group"]: row for row in subgroup_rows(given, 5)}
    assert list(rows) == ["unknown", "female", "male"]
    inside = np.array(sex) == "female"
    expected = [roc_auc_score(given.label[inside], score[inside]) for score in given.scores["split"].values()]
    assert rows["female"]["value"] == pytest.approx(np.mean(expected), abs=1e-12)
    assert rows["female"]["ci_low"] < rows["female"]["value"] < rows["female"]["ci_high"]
    assert (rows["female"]["n"], rows["female"]["events"]) == (50, given.label[inside].sum())


def test_a_small_subgroup_is_hidden_and_the_next_with_it_since_the_whole_is_known():
    rows = told(["female"] * 40 + ["male"] * 72 + [""] * 8)  # of four patients nobody knows the sex
    assert [rows[name]["hidden"] for name in ("unknown", "female", "male")] == [FEW, GUARDED, None]
    for name in ("unknown", "female"):
        assert not {"n", "events", "value"} & set(rows[name])
    assert rows["male"]["n"] == 72


def test_few_outcomes_are_hidden_with_the_auroc_of_them():
    label = np.zeros(N, np.int64)
    label[:6] = 1  # three women
    label[60:80] = 1
    label[100:110] = 1
    sex = ["female"] * 60 + ["male"] * 40 + ["other"] * 20
    rows = told(sex, label=label)
    assert [rows[name]["n"] for name in ("female", "male", "other")] == [60, 40, 20]
    assert [rows[name]["hidden"] for name in ("female", "male", "other")] == [FEW, None, GUARDED]
    assert [("events" in rows[name], "value" in rows[name]) for name in ("female", "male", "other")] == [
        (False, False), (True, True), (False, False)
    ]  # fmt: skip


def test_one_class_and_missing_scores_say_why():
    label = np.zeros(N, np.int64)
    label[60:90] = 1
    rows = told(["female"] * 60 + ["male"] * 60, label=label)
    assert rows["female"]["events"] == 0
    assert rows["female"]["reason"] == "only one class among the labels"
    given = scores(["female"] * 60 + ["male"] * 60)
    given.scores["split"][1][0] = np.nan
    rows = {row["group"]: row for row in subgroup_rows(given, 5)}
    assert rows["female"]["reason"] == "not every record has a score"
    assert rows["male"]["value"] > 0.5


def test_a_lone_hidden_group_takes_the_smallest_other_with_it():
    assert small({"a": 3, "b": 9, "c": 7}, 5) == {"a": FEW, "b": None, "c": GUARDED}
    assert small({"a": 3, "b": 4, "c": 7}, 5) == {"a": FEW, "b": FEW, "c": None}
    assert small({"a": 5}, 5) == {"a": None}


def test_ages_fall_into_bands_closed_on_the_left():
    ages = pd.Series([0.0, 17.9, 18.0, 39.0, 40.0, 79.9, 80.0, 104.0, np.nan])
    assert bands(ages).tolist() == [
        "0-17", "0-17", "18-39", "18-39", "40-59", "60-79", "80 and over", "80 and over", None
    ]  # fmt: skip
