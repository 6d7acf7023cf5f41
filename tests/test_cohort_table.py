"""Table 1 and the differences between sites, from the numbers the sites tell."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.comparison.cohort import cohort_rows
from coordinator.comparison.shift import Spread, difference, shift_rows, together
from coordinator.comparison.table1 import table1_rows
from tests.synthetic_results import SITES, SIZES, profile


def summaries(**profiles):
    """Make the summaries of a task's sites; each is (patients, profile)."""
    return {
        ("task", site): {"patients": patients, "records": patients, "events": patients // 4, "profile": rows}
        for site, (patients, rows) in profiles.items()
    }


def number(values, **changes):
    known = np.array([value for value in values if value is not None], float)
    mean, std = (known.mean(), known.std(ddof=1)) if len(known) > 1 else (None, None)
    row = {"name": "a", "kind": "numeric", "n": len(known), "missing": len(values) - len(known), "mean": mean,
           "std": std, "levels": {}, "small": []}  # fmt: skip
    return len(values), [row | changes]


def words(n, missing, levels, **changes):
    row = {"name": "w", "kind": "categorical", "n": n, "missing": missing, "mean": None, "std": None,
           "levels": levels, "small": []}  # fmt: skip
    return (n or 0) + (missing or 0), [row | changes]


def of(rows, **where):
    (found,) = [row for row in rows if all(row[key] == value for key, value in where.items())]
    return found


columns = st.lists(st.floats(-50, 50), min_size=2, max_size=40).filter(lambda found: np.std(found) > 1e-3)


@given(st.lists(columns, min_size=2, max_size=5))
def test_a_sites_difference_is_austins_from_all_others_rows_pooled(drawn):
    found = summaries(**{f"s{i}": number(values) for i, values in enumerate(drawn)})
    rows = shift_rows(found, table1_rows(found))
    for i, values in enumerate(drawn):
        others = np.concatenate([each for j, each in enumerate(drawn) if j != i])
        pooled = np.sqrt((np.var(values, ddof=1) + np.var(others, ddof=1)) / 2)
        expected = (np.mean(values) - np.mean(others)) / pooled
        shown = of(rows, site=f"s{i}", measure="mean")["difference"]
        assert shown == pytest.approx(expected, rel=1e-6, abs=1e-9)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 50)), min_size=2, max_size=5))
def test_a_words_difference_is_of_its_shares(drawn):
    levels = [{"yes": yes, "no": no} if yes else {"no": no} for yes, no in drawn]
    found = summaries(**{f"s{i}": words(sum(drawn[i]), 0, each) for i, each in enumerate(levels)})
    named = any(yes for yes, _ in drawn)
    rows = [row for row in shift_rows(found, table1_rows(found)) if row["level"] == "yes"]
    assert len(rows) == (len(drawn) if named else 0)
    for i, (yes, no) in enumerate(drawn if named else ()):
        p = yes / (yes + no)
        rest = np.sum([pair for j, pair in enumerate(drawn) if j != i], axis=0)
        q = rest[0] / rest.sum()
        pooled = np.sqrt((p * (1 - p) + q * (1 - q)) / 2)
        shown = of(rows, site=f"s{i}")["difference"]
        assert shown == pytest.approx((p - q) / pooled if pooled else 0.0, rel=1e-6, abs=1e-9)


def test_who_lacks_a_value_and_the_outcome_are_compared_too():
    found = summaries(x=number([1, 2, None, None]), y=number([1, 2, 3, 4, 5, None, None, None]))
    found["task", "y"]["events"] = 6
    rows = shift_rows(found, table1_rows(found))
    p, q = 0.5, 3 / 8
    missing = of(rows, site="x", measure="missing")["difference"]
    assert missing == pytest.approx((p - q) / np.sqrt((p * (1 - p) + q * (1 - q)) / 2))
    p, q = 0.25, 0.75
    outcome = of(rows, site="x", measure="outcome")["difference"]
    assert outcome == pytest.approx((p - q) / np.sqrt((p * (1 - p) + q * (1 - q)) / 2))


def test_what_a_site_does_not_tell_is_neither_its_own_nor_the_others():
    hidden = (30, number([None] * 30)[1])
    hidden[1][0] |= {"n": None, "missing": None, "mean": None, "std": None, "small": ["n"]}
    told = {"x": number([1, 2, 3]), "y": number([4, 5, 7])}
    with_hidden, without = summaries(**told, z=hidden), summaries(**told)
    with_hidden["task", "z"]["events"] = None
    assert shift_rows(with_hidden, table1_rows(with_hidden)) == shift_rows(without, table1_rows(without))


def test_one_site_alone_has_no_others():
    found = summaries(x=number([1, 2, 3]))
    assert shift_rows(found, table1_rows(found)) == []


def test_what_never_varies_and_differs_has_no_standard_difference():
    assert difference(Spread(9, 1.0, 0.0), Spread(9, 2.0, 0.0)) is None
    assert difference(Spread(9, 2.0, 0.0), Spread(9, 2.0, 0.0)) == 0.0
    assert together([], "mean") is None


def test_a_word_that_a_site_does_not_name_is_nobodys_or_a_fews():
    _, few_lack = words(None, None, {"red": 40, "green": 15}, small=["missing"])
    found = summaries(
        x=words(100, 0, {"red": 90, "blue": 10}),
        y=words(50, 0, {"red": 50}),
        z=(60, words(60, 0, {"red": 40, "green": None})[1]),
        w=(57, few_lack),
    )
    rows = [row for row in table1_rows(found) if row["level"] is not None]
    shown = {(row["site"], row["level"]): (row["n"], row["hidden"]) for row in rows}
    assert shown["y", "blue"] == shown["x", "green"] == (0, None)
    assert shown["z", "green"] == (None, "guarded")
    assert shown["z", "blue"] == shown["w", "blue"] == (None, "few")
    assert of(rows, site="w", level="red")["share"] == pytest.approx(40 / 57)  # of all: but a few have a word
    assert of(rows, site="x", level="blue")["share"] == 0.1


def test_a_share_is_not_told_where_nobody_knows_of_how_many():
    found = summaries(x=(73, words(None, None, {"red": 50})[1]), y=words(50, 0, {"red": 50}))
    row = of(table1_rows(found), site="x", level="red")
    assert (row["n"], row["share"], row["patients"]) == (50, None, None)
    assert of(table1_rows(found), site="x", level=None)["hidden"] == "guarded"


def test_quarantine_is_a_share_of_all_rows_and_limits_are_counted_by_variable():
    found = {("task", "x"): {"records": 90, "events": None, "patients": 90, "quarantined": {"torn": 10},
                             "outside": {"hr": 3}}}  # fmt: skip
    rows = cohort_rows(found)
    assert rows["figures/quarantine.csv"] == [
        {"task": "task", "site": "x", "reason": "torn", "count": 10, "share": 0.1}
    ]
    assert rows["figures/outside.csv"] == [{"task": "task", "site": "x", "variable": "hr", "count": 3}]
    assert rows["figures/cohort.csv"][0]["event_share"] is None


def test_the_synthetic_sites_profiles_are_told():
    found = summaries(**{site: (5 * SIZES[site], profile(site)) for site in SITES})
    rows = table1_rows(found)
    assert of(rows, site="south", variable="grade", level="green")["hidden"] == "few"
    assert of(rows, site="south", variable="size")["hidden"] == "few"
    assert of(rows, site="south", variable="flag")["mean"] is None
