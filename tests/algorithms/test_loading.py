"""A batch that was loaded ahead is used for itself alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from federation import a_run, site_data
from test_exactness import MODALITIES

from coordinator.algorithms.cohort import Cohort
from coordinator.algorithms.loading import batch_of, load_ahead, loaded
from coordinator.algorithms.party import Party
from coordinator.schedule import Batch, schedule

SIZES = (40, 30)
COHORT = Cohort((6,), SIZES, (5, 6), (7, 7), (20, 15))


@pytest.fixture
def party():
    return Party(a_run("split", SIZES, training={"rounds": 1}), COHORT, 0, site_data(COHORT, 0, (6,)))


@pytest.fixture
def batches(party):
    return [item for item in schedule(party.run, COHORT.train) if isinstance(item, Batch)]


def test_what_was_loaded_ahead_is_what_would_have_been_loaded(party, batches):
    party.upcoming = batches[1]
    load_ahead(party)
    assert party.ahead[0] is batches[1]
    inputs, labels = batch_of(party, batches[1])
    assert torch.equal(inputs, party.rows.train.inputs[batches[1].records])
    assert torch.equal(labels, party.rows.train.labels[batches[1].records])
    assert party.ahead is None


def test_another_batch_than_the_one_loaded_is_loaded_anew(party, batches):
    party.upcoming = batches[1]
    load_ahead(party)
    inputs, _ = batch_of(party, batches[0])
    assert torch.equal(inputs, party.rows.train.inputs[batches[0].records])
    assert party.ahead is None


def test_another_site_s_batch_is_not_loaded(party, batches):
    party.upcoming = replace(batches[1], site=1)
    load_ahead(party)
    assert party.ahead is None


@pytest.mark.parametrize("shape", [(6,), MODALITIES], ids=["tensor", "several"])
def test_a_batch_for_a_gpu_lies_in_pinned_memory_and_is_the_same(monkeypatch, shape):
    pinned = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda value: pinned.append(value) or value.clone())
    found = []
    for devices in ({}, {"site0": "cuda"}):
        run = a_run("split", SIZES).model_copy(update={"devices": devices})
        party = Party(run, replace(COHORT, shape=shape), 0, site_data(COHORT, 0, shape))
        inputs, labels = loaded(party, np.arange(3), (3, "augment", 0))
        found.append((*(inputs.values() if isinstance(inputs, dict) else [inputs]), labels))
        assert len(pinned) == (len(found[0]) if devices else 0)
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))
