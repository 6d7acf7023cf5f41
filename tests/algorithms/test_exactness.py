"""The equalities that guard everything: every bit of every parameter and of the optimizers' state."""

import pytest
import torch
from federation import a_run, federate, rows

from coordinator.algorithms.building import builders_of
from coordinator.algorithms.handing_on import OPTIMIZER
from coordinator.config import Model
from coordinator.models.stages import build

SIZES = (100, 40, 17, 3)  # sites of very different size; a last batch of one record in the first
MLP = Model(name="mlp", hidden=(16, 8), dropout=0.3)
CNN = Model(name="cnn", channels=(4, 8), dropout=0.2)
GRU = Model(name="gru", hidden=(6, 5), dropout=0.2)
FUSION = Model(name="fusion", hidden=(6, 5), channels=(4, 4), dropout=0.2)
TRANSFORMER = Model(name="transformer", hidden=(8, 5), heads=2, dropout=0.2)
MODALITIES = {"table": (5,), "series": (4, 6), "image": (1, 8, 8), "present": (3,)}
SHAPES = {
    "mlp": (6,), "gru": (4, 6), "transformer": (4, 6), "cnn": (1, 8, 8), "fusion": MODALITIES,
}  # fmt: skip
OPTIMIZERS = (
    {"optimizer": "adam", "weight_decay": 0.01},
    {"optimizer": "adamw", "weight_decay": 0.01},
    {"optimizer": "sgd", "momentum": 0.9},
    {"optimizer": "sgd"},
)
CASES = [
    pytest.param(model, shape, cut, training, id="-".join(map(str, (model.name, *cut, *training.values()))))
    for model, cuts in (
        (MLP, [("layer1",), ("layer2",)]),
        (CNN, [("conv1",), ("conv2",)]),
        (GRU, [("gru",), ("layer1",)]),
        (TRANSFORMER, [("embed",), ("block1",), ("block2",), ("pool",), ("layer1",)]),
        (FUSION, [("fronts",), ("layer1",)]),
    )
    for cut in cuts
    for shape in [SHAPES[model.name]]
    for training in (OPTIMIZERS if model is MLP else OPTIMIZERS[:1])
]  # fmt: skip


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


U_SHAPED = [
    (MLP, ("layer1", "layer2")),
    (CNN, ("conv1", "conv2")),
    (GRU, ("gru", "layer1")),
    (TRANSFORMER, ("block1", "pool")),
    (FUSION, ("fronts", "layer1")),
]
U_CASES = [
    pytest.param(model, SHAPES[model.name], cut, training, id=f"{model.name}-{training['optimizer']}-{i}")
    for model, cut in U_SHAPED
    for i, training in enumerate(OPTIMIZERS if model in (MLP, CNN) else OPTIMIZERS[:1])
]


@pytest.mark.parametrize(("model", "shape", "cut", "training"), U_CASES)
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


@pytest.mark.parametrize("preset", ["split", "split_u", "fedavg", "local"])
@pytest.mark.parametrize(("model", "cut"), U_SHAPED[1:], ids=lambda case: getattr(case, "name", None))
def test_one_site_equals_centralized_whatever_the_model(preset, model, cut):
    shape = SHAPES[model.name]
    changes = {
        "split": {"cut": cut[:1]},
        "split_u": {"cut": cut},
        "fedavg": {"optimizer_state": "kept"},
        "local": {},
    }[preset]
    reference = everything("centralized", (50,), shape, model=model)
    assert_equal_runs(everything(preset, (50,), shape, model=model, **changes), reference)


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


def test_a_modality_is_missing_in_these_tests_and_its_flag_counts():
    drawn = rows(60, MODALITIES, "missing")
    batch = drawn.inputs[0:60]
    present = batch["present"]
    assert 0 < present[:, 1:].sum() < present[:, 1:].numel()
    for place, name in enumerate(("table", "series", "image")):
        gone = present[:, place] == 0
        assert not batch[name][gone].any()
        assert batch[name][~gone].flatten(1).any(1).all()
    part = build(builders_of(a_run("local", (3,), model=FUSION), MODALITIES), 3).eval()
    everyone = {**batch, "present": torch.ones_like(present)}
    differs = (part(batch) != part(everyone)).flatten()
    assert torch.equal(differs, (present == 0).any(1))


def test_what_an_absent_modality_holds_changes_no_bit():
    """Whatever stands where nothing was measured, the loss and every gradient are the same."""
    batch, found = rows(20, MODALITIES, "noise").inputs[0:20], []
    for noise in (0.0, 100.0):
        filled = dict(batch)
        for place, name in enumerate(("table", "series", "image")):
            absent = (1 - batch["present"][:, place]).view(-1, *[1] * (batch[name].dim() - 1))
            filled[name] = batch[name] + noise * absent
        part = build(builders_of(a_run("local", (3,), model=FUSION), MODALITIES), 3)
        output = part(filled, (3, "forward", 0))
        output.square().sum().backward()
        found.append([output, *(each.grad for each in part.parameters())])
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


def test_dropout_is_on_in_these_tests():
    with_dropout = everything("centralized", (60,), (6,))[0]
    without = everything("centralized", (60,), (6,), model=Model(name="mlp", hidden=(16, 8)))[0]
    assert not torch.equal(with_dropout["stages.head.weight"], without["stages.head.weight"])
