import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator.config import Split
from coordinator.errors import DataError
from sites.split import ROLES, assign_roles, check_disjoint, validation_rows

SPLIT = Split(test=0.2, auxiliary=0.1, validation=0.15)


@st.composite
def cohorts(draw):
    """Invent records of 1 to 60 patients, several records of some."""
    records = draw(st.lists(st.tuples(st.integers(0, 59), st.integers(0, 1)), min_size=1, max_size=120))
    return tuple(np.array(column, dtype=np.int64) for column in zip(*records, strict=True))


def of_patients(patients, roles):
    return {patient: set(roles[patients == patient].tolist()) for patient in np.unique(patients)}


@given(cohorts(), st.integers(0, 5))
def test_every_patient_is_on_one_side(cohort, seed):
    patients, labels = cohort
    roles = assign_roles(patients, labels, SPLIT, seed, "north")
    assert set(roles) <= set(ROLES)
    assert all(len(found) == 1 for found in of_patients(patients, roles).values())
    check_disjoint(patients, roles, "here")
    held_out = validation_rows(patients, labels, 0.15, seed, "north")
    assert all(len(found) == 1 for found in of_patients(patients, held_out).values())


@given(cohorts(), st.randoms(use_true_random=False))
def test_the_order_of_the_records_changes_no_role(cohort, random):
    patients, labels = cohort
    order = list(range(len(patients)))
    random.shuffle(order)
    for split in (
        lambda p, y: assign_roles(p, y, SPLIT, 3, "north"),
        lambda p, y: validation_rows(p, y, 0.15, 3, "north"),
    ):
        assert (split(patients, labels)[order] == split(patients[order], labels[order])).all()


@settings(max_examples=50)
@given(st.integers(0, 80), st.integers(0, 80))
def test_each_outcome_is_shared_out_alike(events, others):
    labels = np.array([1] * events + [0] * others, dtype=np.int64)
    roles = assign_roles(np.arange(len(labels)), labels, SPLIT, 0, "north")
    for outcome, patients in ((1, events), (0, others)):
        tested = int(((roles == "test") & (labels == outcome)).sum())
        kept = int(((roles == "auxiliary") & (labels == outcome)).sum())
        developing = patients - tested - kept
        if patients >= 2:
            assert tested >= 1
            assert developing >= 1
            assert abs(tested - 0.2 * patients) <= (0.5 if patients > 4 else 1)
            assert abs(kept - 0.1 * patients) <= 0.5
        else:
            assert tested == kept == 0


def test_roles_depend_on_seed_and_site_only():
    patients, labels = np.arange(100), np.arange(100) % 2
    first = assign_roles(patients, labels, SPLIT, 0, "north")
    assert (first == assign_roles(patients, labels, SPLIT, 0, "north")).all()
    assert (first != assign_roles(patients, labels, SPLIT, 1, "north")).any()
    assert (first != assign_roles(patients, labels, SPLIT, 0, "south")).any()


@pytest.mark.parametrize(("patients", "held_out"), [(1, 0), (2, 1), (3, 1), (20, 3), (100, 15)])
def test_validation_keeps_a_patient_where_there_are_two(patients, held_out):
    found = validation_rows(np.arange(patients), np.zeros(patients, dtype=np.int64), 0.15, 0, "north")
    assert found.sum() == held_out


def test_a_patient_with_any_event_counts_as_one():
    patients, labels = np.repeat(np.arange(20), 2), np.tile([0, 1], 20)
    roles = assign_roles(patients, labels, SPLIT, 0, "north")
    assert (roles == "test").sum() == 8


def test_a_patient_on_two_sides_is_refused():
    with pytest.raises(DataError, match=r"here: record 2 is in 'test'.* patient 7 in 'development'"):
        check_disjoint(np.array([7, 8, 7]), ["development", "test", "test"], "here")
