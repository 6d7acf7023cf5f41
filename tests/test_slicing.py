"""Cuts through a network of the study's own: where they are legal, and why they are not elsewhere."""

import pytest
import torch
from federation import a_run

from coordinator.algorithms.building import builders_of
from coordinator.config import Model
from coordinator.errors import ConfigError
from coordinator.models.stages import build


def table(how="", **options):
    return Model(name="module", path="own_networks:Table", options={"how": how, **options})


SMALL = Model(name="module", path="own_networks:Small")


def stages_of(model, shape=(6,), cut=()):
    return builders_of(a_run("split" if cut else "local", (3,), model=model, cut=cut), shape)


def refusal(model, shape=(6,), cut=()):
    with pytest.raises(ConfigError) as caught:
        stages_of(model, shape, cut)
    return str(caught.value)


def test_a_network_is_cut_wherever_one_tensor_is_on_its_way_and_has_a_name():
    assert tuple(stages_of(SMALL, (1, 8, 8))) == (
        "first", "norm", "block", "second", "classifier.0", "classifier.1", "classifier.2", "classifier",
    )  # fmt: skip
    assert tuple(stages_of(table())) == ("first", "second", "last")


def test_stages_are_the_network_s_own_submodules_in_their_own_modes():
    part = build(stages_of(SMALL, (1, 8, 8)), 3)
    assert isinstance(part.stages["classifier/2"], torch.nn.Dropout)
    value = torch.randn(4, 1, 8, 8)
    assert not torch.equal(part(value, (1, 2)), part.eval()(value))


@pytest.mark.parametrize(
    ("model", "shape", "after", "reason"),
    [
        (table("skips"), (6,), "second", "a skip connection crosses there: 'first' is needed beyond it"),
        (SMALL, (1, 8, 8), "block.inner", "a skip connection crosses there: the input"),
        (SMALL, (1, 8, 8), "act", "it is called 2 times"),
        (SMALL, (1, 8, 8), "classifier.3", "lies inside 'classifier', or ends where that ends"),
        (SMALL, (1, 8, 8), "clasifier", "no such submodule"),
        (table("tied"), (6,), "first", "weights are tied across it: '"),
        (table("scaled"), (6,), "second", "weights are tied across it: 'scale'"),
        (table("changed in place"), (6,), "first", "changed in place right after it"),
        (table("tuple"), (6,), "recurrent", "it gives a tuple, not one tensor"),
        (table("training"), (6,), "first", "does something else in training"),
        (table("branches"), (6,), "first", "cannot be followed without values"),
        (table("twice"), (6,), "first", "it is called 2 times"),
    ],
)
def test_an_illegal_cut_is_refused_with_what_is_in_the_way(model, shape, after, reason):
    said = refusal(model, shape, (after,))
    assert f"after '{after}'" in said
    assert reason in said
    assert "it can be cut after" in said


@pytest.mark.parametrize("cut", [("last",), ("second", "first"), ("first", "first")])
def test_a_cut_that_leaves_a_part_empty_is_refused(cut):
    assert "leaves a part empty" in refusal(table(), cut=cut)


@pytest.mark.parametrize(
    ("model", "shape", "words"),
    [
        (table(outputs=2), (6,), "gives (3, 2) for 3 records, expected (3, 1)"),
        (table("frozen"), (6,), "'bias' of the model gets no gradient: it is frozen or not used"),
        (table(), (7,), "cannot read records of shape (7,)"),
        (table(colour="red"), (6,), "cannot be built with options"),
        (Model(name="module", path="own_networks:Alters"), (6,), "changes its input in place"),
        (Model(name="module", path="own_networks:Missing"), (6,), "cannot be imported"),
        (Model(name="module", path="no_such_package.here:Net"), (6,), "cannot be imported"),
        (Model(name="module", path="own_networks:a_function"), (6,), "is no torch.nn.Module class"),
        (Model(name="module", path="os:system"), (6,), "is no torch.nn.Module class"),
        (SMALL.model_copy(update={"options": {"norm": True}}), (1, 8, 8), "say norm: batch"),
    ],
)
def test_a_network_that_cannot_be_used_says_why(model, shape, words):
    assert words in refusal(model, shape)


def test_tied_weights_stay_together_in_a_stage_and_are_one_parameter():
    part = build(stages_of(table("tied")), 3)
    assert tuple(part.stages) == ("second", "last")
    assert sum(name.endswith("weight") for name, _ in part.named_parameters()) == 2
    assert sum(name.endswith("weight") for name in part.state_dict()) == 3
