"""A round is done again by who knows the seed, and updates of few records give them away."""

import numpy as np
import pytest
import torch

from coordinator.algorithms.optimizers import Optimizer
from coordinator.algorithms.training import train_batch
from coordinator.attacks.gradient_inversion import invert
from coordinator.attacks.layout import Layout, inputs_of, roughness, start
from coordinator.attacks.local_round import Moments, Step, Update, gradient_of, made_by
from coordinator.attacks.tableak import rows_matched, tableak, word_columns
from coordinator.config import Model, Training
from coordinator.models.stages import build
from coordinator.models.tabular import stages

MIXED = Layout({"table": (9,)}, numbers=3, flags=1, words=(2, 3))


def mixed_records(count: int) -> torch.Tensor:
    """Draw rows of three numbers, a flag, and words of two and of three kinds."""
    draws = torch.Generator().manual_seed(5)
    words = [torch.eye(kinds)[torch.randint(kinds, (count,), generator=draws)] for kinds in MIXED.words]
    flag = (torch.rand(count, 1, generator=draws) > 0.5).float()
    return torch.cat([torch.randn(count, MIXED.numbers, generator=draws), flag, *words], dim=1)


def a_table_model(seed: int):
    return build(stages(Model(name="mlp", hidden=(40, 20)), (9,)), seed).eval()


def test_a_word_is_searched_as_one_of_its_kinds() -> None:
    made = inputs_of(MIXED, start(MIXED, 7, torch.Generator().manual_seed(0)))
    assert word_columns(MIXED) == [slice(4, 6), slice(6, 9)]
    for columns in word_columns(MIXED):
        assert torch.allclose(made[:, columns].sum(dim=1), torch.ones(7))
    assert ((made[:, 3] > 0) & (made[:, 3] < 1)).all()


def test_series_images_and_what_is_present_become_a_model_s_inputs() -> None:
    layout = Layout({"series": (4, 6), "image": (1, 5, 5), "present": (2,)}, 0, 0, ())
    free = start(layout, 3, torch.Generator().manual_seed(0))
    made = inputs_of(layout, free)
    assert {name: tuple(value.shape) for name, value in made.items()} == {
        "series": (3, 4, 6), "image": (3, 1, 5, 5), "present": (3, 2),
    }  # fmt: skip
    assert ((made["series"][:, :, 3:] > 0) & (made["series"][:, :, 3:] < 1)).all()
    assert roughness({"image": torch.ones(2, 1, 4, 4)}) == 0 < roughness(free)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_a_local_round_done_again_is_the_one_that_was_done(optimizer: str) -> None:
    training = Training(
        optimizer=optimizer, learning_rates=(0.01,), weight_decay=0.1,
        momentum=0.5 if optimizer == "sgd" else 0.0,
    )  # fmt: skip
    records, labels = mixed_records(12), torch.tensor([0.0, 1.0] * 6)
    model = a_table_model(0)
    before = [value.detach().clone() for value in model.parameters()]
    steps = [Step(torch.arange(8), (1, 0)), Step(torch.arange(8, 12), (1, 1))]
    own = Optimizer(model, training, 0.01)
    for step in steps:
        train_batch(model, own, records[step.records], labels[step.records], step.draw, round_=0)
    change = tuple(b.detach() - a for a, b in zip(before, model.parameters(), strict=True))
    update = Update(a_table_model(0), change, tuple(steps), training, 0.01)
    made = made_by(update, records, labels)
    for one, other in zip(made, change, strict=True):  # Adam's epsilon is larger here
        close = torch.nn.functional.cosine_similarity(one.flatten(), other.flatten(), dim=0)
        assert close > (0.99999 if optimizer == "sgd" else 0.97)


def test_the_gradient_of_few_records_gives_them_away_numbers_and_words() -> None:
    records, labels = mixed_records(4), torch.tensor([0.0, 1.0, 1.0, 0.0])
    update = gradient_of(a_table_model(0), records, labels)
    leaked = tableak(update, MIXED, iterations=400, members=2, seed=1, labels=labels)
    table = leaked.table[rows_matched(records.double().numpy(), leaked.table)]
    numbers = np.abs(table[:, :3] - records[:, :3].numpy())
    assert np.median(numbers) < 0.35  # the mean record: .7
    for columns in word_columns(MIXED):
        told = table[:, columns].argmax(axis=1) == records[:, columns].numpy().argmax(axis=1)
        assert told.mean() >= 0.75
    assert leaked.uncertainty.shape == (4, 5)


def test_labels_are_searched_where_they_are_not_known_and_noise_gives_nothing() -> None:
    records, labels = mixed_records(1), torch.tensor([1.0])
    update = gradient_of(a_table_model(0), records, labels)
    found = invert(update, MIXED, objective="squared", iterations=400, seed=2)
    assert found.loss < 0.02
    assert found.labels[0] > 0.5
    draws = torch.Generator().manual_seed(1)
    noise = tuple(torch.randn(each.shape, generator=draws) for each in update.change)
    blind = Update(update.model, noise, update.steps, update.training, update.rate)
    assert invert(blind, MIXED, objective="cosine", iterations=60, seed=2).loss > 0.5


def test_plain_momentum_has_its_past() -> None:
    moments = Moments(Training(optimizer="sgd", momentum=0.5), 1)
    one, zero = [torch.ones(1)], [torch.zeros(1)]
    assert [float(moments.moves(one, zero, 1.0)[0]) for _ in range(3)] == [-1.0, -1.5, -1.75]
