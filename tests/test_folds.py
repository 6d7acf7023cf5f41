"""Grouped k-fold: a task becomes k, every patient is tested in exactly one, and errors keep their lines."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.config import Data, Site, Split
from coordinator.plan import plan
from coordinator.specs import Preparation
from coordinator.study import read_study
from sites.split import assign_roles, roles_of
from tests.test_config import check, line_of, study_file

FOLDED = """\
name: folded
allow_pooling: true
release: predictions
tasks:
  breast_cancer:
    data: {source: breast_cancer}
    sites: [north, south]
    model: {name: mlp, hidden: [8, 4]}
    cut: layer1
    split: {folds: 3}
  other:
    data: {source: breast_cancer}
    sites: [north, south]
    model: {name: mlp, hidden: [8, 4]}
    cut: layer2
strategies:
  centralized: {}
  fedavg: {}
"""


def study_of(tmp_path: Path, text: str):
    return read_study([study_file(tmp_path, text)])


def test_a_task_becomes_one_for_each_fold(tmp_path):
    study, sites, _ = study_of(tmp_path, FOLDED)
    folds = [f"breast_cancer_fold{fold}" for fold in (1, 2, 3)]
    assert list(study.tasks) == [*folds, "other"]
    assert [study.tasks[name].split.fold for name in folds] == [1, 2, 3]
    planned = plan(study, sites, write=False)
    assert {run.partition("/")[0] for run in planned["runs"]} == {*folds, "other"}
    specs = {name: planned["tasks"][name]["prepare"]["north"]["spec"] for name in folds}
    assert len(set(specs.values())) == 3  # each fold has records of its own
    assert len({planned["tasks"][name]["deal"]["spec"] for name in folds}) == 1  # dealt once


def test_one_fold_alone_stays_one_task(tmp_path):
    study, _, _ = study_of(tmp_path, FOLDED.replace("folds: 3", "folds: 3, fold: 2"))
    assert list(study.tasks) == ["breast_cancer", "other"]


def test_a_strategy_s_tasks_are_unfolded_too(tmp_path):
    text = FOLDED.replace("  fedavg: {}", "  fedavg: {tasks: [breast_cancer]}")
    study, _, _ = study_of(tmp_path, text)
    assert study.strategies["fedavg"].tasks == tuple(f"breast_cancer_fold{fold}" for fold in (1, 2, 3))
    text = FOLDED.replace("  fedavg: {}", "  fedavg: {tasks: [other]}")
    (tmp_path / "other").mkdir()
    study, _, _ = study_of(tmp_path / "other", text)
    assert study.strategies["fedavg"].tasks == ("other",)


def test_each_fold_s_title_says_which_it_is(tmp_path):
    text = FOLDED.replace("  breast_cancer:\n", "  breast_cancer:\n    title: Tumours\n", 1)
    study, _, _ = study_of(tmp_path, text)
    assert study.tasks["breast_cancer_fold2"].title == "Tumours (fold 2 of 3)"


def test_an_error_in_a_folded_task_stands_at_its_line(tmp_path, capsys):
    text = FOLDED.replace("data: {source: breast_cancer}", "data: {source: breast_cancer, outcome: grade}", 1)
    status, said = check(capsys, study_file(tmp_path, text))
    assert status == 2
    assert f"study.yaml:{line_of(text, 'grade')}: tasks.breast_cancer_fold1.data.outcome" in said


@pytest.mark.parametrize(
    ("split", "problem"),
    [
        ("{fold: 2}", "fold counts from 1 to folds"),
        ("{folds: 3, fold: 4}", "fold counts from 1 to folds"),
        ("{folds: 3, source_test: true}", "both say who is tested"),
        ("{folds: 1}", "greater than or equal to 2"),
        ("{folds: 3, held_out: [north]}", "would be tested in all"),
    ],
)
def test_what_folds_cannot_be(tmp_path, capsys, split, problem):
    text = FOLDED.replace("{folds: 3}", split)
    status, said = check(capsys, study_file(tmp_path, text))
    assert status == 2
    assert problem in said
    assert f"study.yaml:{line_of(text, 'split: {fold')}: " in said


@st.composite
def cohorts(draw):
    records = draw(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 1)), min_size=1, max_size=100))
    return tuple(np.array(column, dtype=np.int64) for column in zip(*records, strict=True))


@given(cohorts(), st.integers(2, 6), st.integers(0, 3))
def test_every_patient_is_tested_in_exactly_one_fold(cohort, folds, seed):
    patients, labels = cohort
    tested = np.zeros(len(patients), dtype=int)
    for fold in range(1, folds + 1):
        roles = assign_roles(patients, labels, Split(folds=folds, fold=fold), seed, "north")
        tested += roles == "test"
        for patient in np.unique(patients):
            assert len(set(roles[patients == patient].tolist())) == 1
    assert (tested == 1).all()


@given(st.integers(10, 120), st.integers(10, 120))
def test_folds_are_alike_in_outcomes(events, others):
    labels = np.array([1] * events + [0] * others, dtype=np.int64)
    patients = np.arange(len(labels))
    counts = []
    for fold in range(1, 6):
        roles = assign_roles(patients, labels, Split(folds=5, fold=fold), 0, "north")
        tested = labels[roles == "test"]
        counts.append((int(tested.sum()), int((1 - tested).sum())))
        assert {"development", "test"} <= set(roles)
    for outcome in zip(*counts, strict=True):
        assert max(outcome) - min(outcome) <= 1


def test_a_held_out_site_only_tests_and_the_source_s_test_set_is_kept(preparation_of):
    patients, labels = np.array([0, 0, 1, 2, 3, 3, 4, 5]), np.array([0, 1, 0, 1, 0, 0, 1, 0])
    assert set(roles_of(preparation_of(held_out=True), patients, labels, None)) == {"test"}
    tests = np.array([1, 0, 0, 0, 0, 0, 0, 1], dtype=bool)
    roles = roles_of(preparation_of(split=Split(source_test=True, auxiliary=0.0)), patients, labels, tests)
    # the other record of a tested patient goes with it
    assert roles.tolist() == ["test", "test", *["development"] * 5, "test"]


@pytest.fixture
def preparation_of():
    def make(**changes):
        plain = {"site": Site(name="north"), "data": Data(source="breast_cancer"), "modalities": ("table",),
                 "min_cell": 5, "split": Split(), "split_seed": 0, "min_patients": 1}  # fmt: skip
        return Preparation(**{**plain, **changes})

    return make
