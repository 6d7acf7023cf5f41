"""Validation AUROC: pairs are counted where labels are, alike in every arm, only where there are enough."""

from math import isnan, nan

import numpy as np
import pytest
import torch
from federation import a_run, federate
from sklearn.metrics import roc_auc_score

from coordinator.algorithms.cohort import Cohort
from coordinator.algorithms.party import Party, Validation, said
from coordinator.algorithms.training import ranked_pairs
from coordinator.errors import ProtocolError
from coordinator.protocol.messages import Validated
from coordinator.schedule import Validate
from coordinator.server.progress import history_rows

SIZES = (60, 40)


@pytest.mark.parametrize("seed", range(5))
def test_it_is_sklearn_s_auroc_ties_and_all(seed):
    draw = np.random.default_rng(seed)
    labels = (np.arange(80) % 4 == 0).astype(np.float32)
    logits = np.round(draw.normal(size=(80, 1)) + labels[:, None], 1).astype(np.float32)
    ranked, pairs = ranked_pairs(torch.from_numpy(logits), torch.from_numpy(labels), 5)
    assert pairs == 20 * 60
    assert ranked / pairs == pytest.approx(roc_auc_score(labels, logits[:, 0]), abs=1e-12)


def test_few_records_of_an_outcome_are_not_told_of():
    labels = torch.tensor([1.0] * 4 + [0.0] * 20)
    assert ranked_pairs(torch.zeros(24, 1), labels, 5) == (0.0, 0)
    assert ranked_pairs(torch.zeros(24, 1), 1 - labels, 5) == (0.0, 0)
    assert ranked_pairs(torch.zeros(24, 1), labels, 4) == (40.0, 80)
    ranked, pairs = ranked_pairs(torch.full((24, 1), nan), labels, 4)
    assert (isnan(ranked), pairs) == (True, 80)


def ranks(preset, **changes):
    run = a_run(preset, SIZES, min_cell=1, **changes)
    coordinator, _, _ = federate(run, SIZES)
    assert sum(each.pairs for each in coordinator.rounds[-1]) > 0
    rows = history_rows(
        run, Validate(0, run.training.rounds - 1), coordinator, 0.0, {"bytes_up": 0, "bytes_down": 0}
    )
    whole = sum(each.pairs for each in coordinator.rounds[-1])
    assert rows[0]["validation_pairs"] == whole
    told = [row["validation_auroc"] * row["validation_pairs"] for row in rows[1:] if row["validation_pairs"]]
    assert rows[0]["validation_auroc"] == pytest.approx(sum(told) / whole)
    return [[(each.ranked, each.pairs) for each in found] for found in coordinator.rounds]


def test_it_is_the_same_whoever_has_the_labels():
    """The pool, the coordinator (labels shared) and the sites (private) count the same pairs."""
    pool = ranks("centralized", batches="by_site")
    assert ranks("split") == pool
    assert ranks("split_u", cut=("layer1", "layer2")) == pool
    assert ranks("fedavg")[0][0][1] == pool[0][0][1]


@pytest.mark.parametrize(("ranked", "pairs"), [(5.0, 26), (-1.0, 4), (5.0, 4), (0.0, -1)])
def test_what_cannot_be_true_is_refused(ranked, pairs):
    party = Party(a_run("local", (20,)), Cohort((6,), (20,), (10,), (5,)))
    with pytest.raises(ProtocolError, match="pairs rightly"):
        said(party, Validated((0, 0, 0, -1), 1.0, 20, 1.0, 10, ranked, pairs), "site0")
    fine = Validated((0, 0, 0, -1), 1.0, 20, 1.0, 10, 24.5, 25)
    assert said(party, fine, "site0") == Validation(1.0, 20, 1.0, 10, 24.5, 25)
