"""The equalities hold wherever a network that is not ours is cut: MONAI's, and a study's own.

Every legal cut of ResNet-18 and of the study's own network; of DenseNet-121's 78 cuts one in the stem, one
inside a dense block, one inside a transition and, U-shaped, after a block and in the head, since a run
of its 121 layers takes seconds.
"""

from functools import cache

import pytest
import torch
from federation import a_run, federate
from test_exactness import assert_equal_runs, assert_same, everything

from coordinator.algorithms.building import builders_of
from coordinator.algorithms.training import floats
from coordinator.config import Model
from coordinator.models.catalog import stage_names

SIZES = (9, 3, 2, 2)  # the first site's last batch has one record
TRAINING = {"batch_size": 8, "rounds": 1, "optimizer": "adam", "weight_decay": 0.01}
RESNET = Model(name="resnet18", width=8, dropout=0.2)
RESNET_BATCH = Model(name="resnet18", width=8, dropout=0.2, norm="batch")
DENSENET = Model(name="densenet121", width=8, dropout=0.2)
OWN = Model(name="module", path="own_networks:Small", options={"norm": True}, norm="batch")
SHAPES = {"resnet18": (1, 12, 12), "densenet121": (1, 29, 29), "module": (1, 8, 8)}
OWN_STAGES = (
    "first", "norm", "block", "second", "classifier.0", "classifier.1", "classifier.2", "classifier",
)  # fmt: skip
DENSE = ("features.pool0", "features.denseblock2.denselayer3", "features.transition3.relu")
CUTS = [
    *((RESNET, (name,)) for name in stage_names(RESNET)[:-1]),
    (RESNET, ("layer1.0", "fc.0")),
    (RESNET, ("conv1", "layer4.0")),
    *((RESNET_BATCH, (name,)) for name in ("conv1", "layer2")),
    (RESNET_BATCH, ("maxpool", "layer3")),
    *((OWN, (name,)) for name in OWN_STAGES[:-1]),
    (OWN, ("first", "classifier.0")),
    *((DENSENET, (name,)) for name in DENSE),
    (DENSENET, ("features.denseblock1", "class_layers.pool")),
]
ids = ["-".join((model.name, model.norm, *cut)) for model, cut in CUTS]


@cache
def centralized(model_json, sizes, batches):
    model = Model.model_validate_json(model_json)
    shape = SHAPES[model.name]
    return everything("centralized", sizes, shape, model=model, training=TRAINING, batches=batches)


def run(preset, model, sizes=SIZES, **changes):
    return everything(preset, sizes, SHAPES[model.name], model=model, training=TRAINING, **changes)


def test_every_stage_of_the_study_s_own_network_is_tested_here():
    builders = builders_of(a_run("local", SIZES, model=OWN), SHAPES["module"])
    assert tuple(builders) == OWN_STAGES


@pytest.mark.parametrize(("model", "cut"), CUTS, ids=ids)
def test_split_equals_centralized_on_the_same_list_wherever_it_is_cut(model, cut):
    found = run("split" if len(cut) == 1 else "split_u", model, cut=cut)
    assert_equal_runs(found, centralized(model.model_dump_json(), SIZES, "by_site"))


@pytest.mark.parametrize(
    ("preset", "model", "changes"),
    [
        ("split", RESNET, {"cut": ("layer2",)}),
        ("split_u", RESNET_BATCH, {"cut": ("layer1", "layer4")}),
        ("fedavg", RESNET_BATCH, {"optimizer_state": "kept"}),
        ("local", OWN, {}),
        ("fedavg", OWN, {"optimizer_state": "kept"}),
        ("split_u", OWN, {"cut": ("norm", "second")}),
        ("split", DENSENET, {"cut": ("features.denseblock2",)}),
        ("fedavg", DENSENET, {"optimizer_state": "kept"}),
    ],
)
def test_one_site_equals_centralized(preset, model, changes):
    found = run(preset, model, (17,), **changes)
    assert_equal_runs(found, centralized(model.model_dump_json(), (17,), "shuffled"))


@pytest.mark.parametrize(("model", "cut"), [(RESNET_BATCH, ("layer2",)), (OWN, ("block",))])
def test_splitfed_v1_equals_fedavg_also_in_batch_norm_s_statistics(model, cut):
    shape, sides = SHAPES[model.name], {}
    for preset in ("fedavg", "splitfed_v1"):
        made = a_run(preset, SIZES, model=model, training=TRAINING, cut=cut)
        coordinator, outcomes, _ = federate(made, SIZES, shape)
        parts = [coordinator.parts, outcomes["site0"][0].parts]
        sides[preset] = {
            name: value
            for held in (parts[:1] if preset == "fedavg" else parts)
            for part in held.values()
            for name, value in part.state_dict().items()
            if value.is_floating_point()
        }
    assert_same(sides["splitfed_v1"], sides["fedavg"])
    assert any("running_mean" in name for name in sides["fedavg"])


def test_tied_weights_are_handed_on_once_and_stay_tied():
    model = Model(name="module", path="own_networks:Table", options={"how": "tied"})
    results = [
        everything(preset, SIZES, (6,), model=model, training=TRAINING, **changes)
        for preset, changes in (("centralized", {"batches": "by_site"}), ("split", {"cut": ("second",)}))
    ]
    assert_equal_runs(*results)
    made = a_run("split", SIZES, model=model, training=TRAINING, cut=("second",))
    _, outcomes, _ = federate(made, SIZES, (6,))
    first, _, second = floats(outcomes["site1"][0].parts["front"])[:3]
    assert torch.equal(first, second)
