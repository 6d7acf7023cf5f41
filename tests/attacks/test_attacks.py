"""Each attack finds what is plainly there, and nothing where nothing is."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from coordinator.algorithms.optimizers import Optimizer
from coordinator.algorithms.training import train_batch
from coordinator.attacks.decoder import train_decoder
from coordinator.attacks.labels import clustering, gradient_cosine, gradient_norm
from coordinator.attacks.membership import lira_offline, loss_threshold, shadow_models
from coordinator.config import Model, Training
from coordinator.models.stages import build
from coordinator.models.tabular import stages

DRAWS = np.random.default_rng(0)
RECORDS = DRAWS.normal(size=(200, 6)).astype(np.float32)
LABELS = (DRAWS.random(200) < 0.15).astype(np.int64)


def error(activations: np.ndarray) -> float:
    """Train on half of the records, and give the mean squared error on the rest; the mean record's is 1."""
    decode = train_decoder(activations[:100], RECORDS[:100], seed=1, steps=100)
    return float(((decode(activations[100:]) - RECORDS[100:]) ** 2).mean())


def best(labels: np.ndarray, scores: np.ndarray) -> float:
    area = roc_auc_score(labels, scores)
    return float(max(area, 1 - area))


def test_an_identity_front_is_inverted_nearly_perfectly() -> None:
    assert error(RECORDS) < 1e-4


def test_a_wide_layer_is_inverted_and_a_narrow_one_less() -> None:
    weights = DRAWS.normal(size=(6, 24)).astype(np.float32)
    wide, narrow = np.maximum(RECORDS @ weights, 0), np.maximum(RECORDS @ weights[:, :2], 0)
    assert error(wide) < 0.1 < 0.5 < error(narrow)


def test_activations_that_do_not_depend_on_the_record_give_no_more_than_the_mean() -> None:
    assert error(DRAWS.normal(size=(200, 24)).astype(np.float32)) > 0.9


def test_a_decoder_is_the_same_for_the_same_seed() -> None:
    first, again, other = (
        train_decoder(np.abs(RECORDS), RECORDS, seed=seed, steps=50)(np.abs(RECORDS)) for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_clusters_give_labels_where_activations_are_apart_alone() -> None:
    noise = DRAWS.normal(size=(200, 8)).astype(np.float32)
    apart = noise + 6 * LABELS[:, None].astype(np.float32)
    assert ((clustering(apart, seed=0) > 0) == (LABELS == 1)).mean() in (0.0, 1.0)
    assert best(LABELS, clustering(noise, seed=0)) < 0.7


def gradients() -> np.ndarray:
    """Give each record's gradient at the features below a logistic head that says the base rate."""
    logit_gradient = LABELS.mean() - LABELS + 0.02 * DRAWS.normal(size=200)
    return (logit_gradient[:, None] * np.array([1.0, -2.0, 0.5])).astype(np.float32)


@pytest.mark.parametrize("attack", [gradient_norm, gradient_cosine])
def test_gradients_of_a_rare_outcome_give_it_away(attack) -> None:
    found = gradients()
    assert best(LABELS, attack(found)) > 0.99
    assert best(LABELS, attack(DRAWS.permutation(found))) < 0.7


def a_model(seed: int):
    return build(stages(Model(name="mlp", hidden=(64,)), (6,)), seed)


def test_an_overfitted_model_gives_its_members_away_and_an_untrained_one_does_not() -> None:
    inputs = torch.from_numpy(RECORDS)
    labels = torch.from_numpy(DRAWS.integers(0, 2, 200).astype(np.float32))  # nothing but memory can fit them
    model = a_model(0)
    scores = {}
    for steps in (0, 400):
        optimizer = Optimizer(model, Training(), 0.01)
        for step in range(steps):
            train_batch(model, optimizer, inputs[:100], labels[:100], (0, step), round_=0)
        with torch.inference_mode():
            logits = model(inputs)[:, 0].double().numpy()
        scores[steps] = loss_threshold(logits, labels.double().numpy())
    members = np.repeat([1, 0], 100)
    assert best(members, scores[0]) < 0.65
    assert roc_auc_score(members, scores[400]) > 0.85


def test_lira_sees_past_how_hard_a_record_is() -> None:
    hardness, members = 5 * DRAWS.normal(size=200), np.repeat([1, 0], 100)
    truth = np.ones(200)
    logits = hardness + members
    shadows = hardness + 0.2 * DRAWS.normal(size=(8, 200))
    assert roc_auc_score(members, loss_threshold(logits, truth)) < 0.7
    assert roc_auc_score(members, lira_offline(logits, truth, shadows)) > 0.95


def test_shadow_models_are_keyed_by_the_seed() -> None:
    inputs, labels = torch.from_numpy(RECORDS[:30]), torch.from_numpy(LABELS[:30].astype(np.float32))
    first, again = (
        shadow_models(a_model, lambda rows: inputs[rows], labels, Training(), seed=3, shadows=2, epochs=1)
        for _ in range(2)
    )
    weights = [model.state_dict()["stages.head.weight"] for model in (*first, *again)]
    assert torch.equal(weights[0], weights[2])
    assert not torch.equal(weights[0], weights[1])
