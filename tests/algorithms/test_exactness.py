"""The equalities that guard everything: every bit of every parameter and of the optimizers' state."""

import pytest
import torch
from federation import a_run, federate

from coordinator.algorithms.handing_on import OPTIMIZER
from coordinator.config import Model

SIZES = (100, 40, 17, 3)  # sites of very different size; a last batch of one record in the first
MLP = Model(name="mlp", hidden=(16, 8), dropout=0.3)
CNN = Model(name="cnn", channels=(4, 8), dropout=0.2)
OPTIMIZERS = (
    {"optimizer": "adam", "weight_decay": 0.01},
    {"optimizer": "adamw", "weight_decay": 0.01},
    {"optimizer": "sgd", "momentum": 0.9},
    {"optimizer": "sgd"},
)
CASES = [
    pytest.param(model, shape, cut, training, id="-".join(map(str, (model.name, *cut, *training.values()))))
    for model, shape, cuts in (
        (MLP, (6,), [("layer1",), ("layer2",)]),
        (CNN, (1, 8, 8), [("conv1",), ("conv2",)]),
    )
    for cut in cuts
    for training in (OPTIMIZERS if model is MLP else OPTIMIZERS[:1])
]  # fmt: skip


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def tensors(*parties):
    """Name every tensor of the parties' parts by stage, and of their optimizers by parameter."""
    found = {}
    for party in parties:
        for name, part in party.parts.items():
            found |= part.state_dict()
            parameters = [key for key, _ in part.named_parameters()]
            for key, value in party.optimizers[name].state().items():
                kind, index = key.split("/")
                found[f"{OPTIMIZER}{parameters[int(index)]}/{kind}"] = value
    return found


def assert_same(left, right):
    assert left.keys() == right.keys()
    assert len(left) > 4
    different = [name for name in left if not torch.equal(left[name], right[name])]
    assert not different


def last_site(run, outcomes):
    return outcomes[run.parties[-1]][0]


def everything(preset, sizes, shape, **changes):
    """Run a strategy; give all tensors of the final state and the test logits by hospital."""
    run = a_run(preset, sizes, **changes)
    coordinator, outcomes, _ = federate(run, sizes, shape)
    site = last_site(run, outcomes)
    whole = (site,) if "model" in site.parts else (coordinator, site)
    logits = [each for name in run.parties for each in outcomes[name][1]]
    return tensors(*whole), logits, coordinator.best_at, coordinator.best_loss


def assert_equal_runs(left, right):
    assert_same(left[0], right[0])
    assert all(torch.equal(a, b) for a, b in zip(left[1], right[1], strict=True))
    assert left[2:] == right[2:]


@pytest.mark.parametrize(("model", "shape", "cut", "training"), CASES)
def test_split_over_unequal_sites_equals_centralized_on_the_same_list(model, shape, cut, training):
    reference = everything("centralized", SIZES, shape, model=model, training=training, batches="by_site")
    split = everything("split", SIZES, shape, model=model, training=training, cut=cut)
    assert_equal_runs(split, reference)


@pytest.mark.parametrize("training", OPTIMIZERS)
@pytest.mark.parametrize(
    ("model", "shape", "cut"), [(MLP, (6,), ("layer1", "layer2")), (CNN, (1, 8, 8), ("conv1", "conv2"))]
)
def test_u_shaped_split_equals_centralized_on_the_same_list(model, shape, cut, training):
    reference = everything("centralized", SIZES, shape, model=model, training=training, batches="by_site")
    split = everything("split_u", SIZES, shape, model=model, training=training, cut=cut)
    assert_equal_runs(split, reference)


@pytest.mark.parametrize("training", OPTIMIZERS)
@pytest.mark.parametrize(
    ("preset", "changes"),
    [
        ("split", {}),
        ("split_u", {"cut": ("layer1", "layer2")}),
        ("fedavg", {"optimizer_state": "kept"}),
        ("local", {}),
        ("centralized", {"batches": "by_site"}),
    ],
)
def test_one_site_equals_centralized(preset, changes, training):
    reference = everything("centralized", (100,), (6,), training=training)
    assert_equal_runs(everything(preset, (100,), (6,), training=training, **changes), reference)


def test_one_site_fedavg_as_published_equals_centralized_with_plain_sgd():
    training = {"optimizer": "sgd"}
    reference = everything("centralized", (50,), (6,), training=training)
    assert_equal_runs(everything("fedavg", (50,), (6,), training=training), reference)


def test_several_learning_rates_and_local_epochs_change_nothing_of_the_equality():
    training = {"local_epochs": 2, "optimizer": "adam"}
    rates = {"learning_rates": (0.05, 0.005)}
    runs = []
    for preset, changes in (("centralized", {"batches": "by_site"}), ("split", {})):
        runs.append(everything(preset, SIZES, (6,), training={**training, **rates}, **changes))
    assert_equal_runs(*runs)


def test_split_differs_from_its_neighbours():
    split = everything("split", SIZES, (6,))[0]
    for preset in ("centralized", "fedavg"):
        other = everything(preset, SIZES, (6,))[0]
        assert not torch.equal(split["stages.head.weight"], other["stages.head.weight"])


def test_fedavg_restarting_adam_differs_from_keeping_it():
    kept = everything("fedavg", SIZES, (6,), optimizer_state="kept")[0]
    restarted = everything("fedavg", SIZES, (6,))[0]
    assert not torch.equal(kept["stages.head.weight"], restarted["stages.head.weight"])


def test_the_same_seed_gives_the_same_bits_and_another_seed_others():
    first, again = (everything("fedavg", SIZES, (6,)) for _ in range(2))
    assert_equal_runs(first, again)
    other = a_run("fedavg", SIZES).model_copy(update={"seed": 4})
    _, outcomes, _ = federate(other, SIZES)
    assert not torch.equal(
        tensors(last_site(other, outcomes))["stages.head.weight"], first[0]["stages.head.weight"]
    )


def test_dropout_is_on_in_these_tests():
    with_dropout = everything("centralized", (60,), (6,))[0]
    without = everything("centralized", (60,), (6,), model=Model(name="mlp", hidden=(16, 8)))[0]
    assert not torch.equal(with_dropout["stages.head.weight"], without["stages.head.weight"])
