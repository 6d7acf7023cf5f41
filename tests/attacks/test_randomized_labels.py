"""Randomized response is undone as far as activations tell labels, and no further."""

from math import exp
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from coordinator.attacks.randomized_labels import randomized_labels
from coordinator.config import Privacy
from sites.label_attacks import label_rows
from tests.sites.test_audit import EFFORT, SIZES, attacked

EPSILON = 1.0
DRAWS = np.random.default_rng(0)
LABELS = (DRAWS.random(600) < 0.4).astype(np.float32)
SENT = np.where(DRAWS.random(600) < 1 / (1 + exp(EPSILON)), 1 - LABELS, LABELS).astype(np.float32)
NOISE = DRAWS.normal(size=(600, 8)).astype(np.float32)


def area(activations: np.ndarray, labels: np.ndarray = SENT) -> float:
    return float(roc_auc_score(LABELS, randomized_labels(activations, labels, epsilon=EPSILON, seed=3)))


def test_activations_that_tell_labels_undo_the_response() -> None:
    alone = float(roc_auc_score(LABELS, SENT))
    assert area(NOISE + LABELS[:, None]) > alone + 0.15
    assert abs(area(NOISE) - alone) < 0.05


def test_of_a_handful_of_one_kind_what_was_sent_is_all() -> None:
    few = np.zeros(20, dtype=np.float32)
    assert np.array_equal(randomized_labels(NOISE[:20], few, epsilon=2.0, seed=0), np.full(20, -2.0))


@pytest.mark.parametrize("epsilon", [None, 1.0])
def test_labels_that_were_sent_partly_wrong_are_attacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, epsilon: float | None
) -> None:
    monkeypatch.setattr("sites.protecting.os.urandom", lambda count: b"s" * count)  # which labels are changed
    found = attacked(tmp_path, monkeypatch, "split", privacy=Privacy(label_epsilon=epsilon))
    rows = label_rows(found, EFFORT)
    if epsilon is None:
        assert not rows  # they were sent as they are
        return
    assert {row["attack"] for row in rows} == {"randomized_labels"}
    assert {row["n"] for row in rows} == {sum(SIZES)}
    assert next(row["value"] for row in rows if row["measure"] == "auroc") > 0.65
