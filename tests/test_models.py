"""Models as named stages: the catalog's names, what a cut gives, and the shapes between."""

from itertools import combinations

import pytest
import torch
from federation import a_run
from torch import nn

from coordinator.algorithms.building import builders_of
from coordinator.config import Model
from coordinator.draws import key
from coordinator.errors import ConfigError
from coordinator.models.catalog import MODELS, entry, stage_names
from coordinator.models.outlines import outline
from coordinator.models.stages import Part, build, cut, out_of_place

CASES = [
    (Model(name="logistic_regression"), (6,)),
    (Model(name="mlp", hidden=(16,)), (6,)),
    (Model(name="mlp", hidden=(16, 8, 4), dropout=0.3), (6,)),
    (Model(name="gru", hidden=(5,)), (7, 6)),
    (Model(name="gru", hidden=(8, 4), dropout=0.2), (3, 4)),
    (Model(name="cnn", channels=(4,)), (1, 8, 8)),
    (Model(name="cnn", channels=(3, 8), dropout=0.2), (1, 16, 16)),
    (Model(name="transformer", hidden=(8,), blocks=1, heads=2), (7, 6)),
    (Model(name="transformer", hidden=(6, 4), heads=3, dropout=0.2), (3, 5)),
    (Model(name="resnet18", width=8, dropout=0.2), (1, 12, 12)),
    (Model(name="resnet18", width=8, stem="3x3", norm="batch"), (3, 8, 8)),
    (Model(name="densenet121", width=8, dropout=0.2), (1, 29, 29)),
    (Model(name="module", path="own_networks:Small", options={"channels": 2}), (2, 8, 8)),
    (
        Model(name="fusion", hidden=(6, 4), channels=(4,)),
        {"table": (5,), "image": (3, 8, 8), "present": (2,)},
    ),
    (Model(name="fusion", hidden=(6,)), {"table": (5,), "series": (4, 6), "present": (2,)}),
]
ids = [f"{model.name}-{len(model.hidden)}-{len(model.channels)}" for model, _ in CASES]
every_model = pytest.mark.parametrize(("model", "shape"), CASES, ids=ids)


def records(count, shape):
    if isinstance(shape, dict):
        return {name: torch.rand(count, *each) for name, each in shape.items()}
    return torch.randn(count, *shape)


def builders(model, shape):
    return builders_of(a_run("local", (3,), model=model), shape)


def names_of(model, shape):
    return tuple(builders(model, shape))


def some(names, most=4):
    """Choose names from all over a long network: each is built once per cut."""
    return names if len(names) <= 8 else names[:: -(-len(names) // most)]


def test_every_model_of_the_catalog_is_tested_here():
    assert {model.name for model, _ in CASES} == set(MODELS)


@every_model
def test_of_several_classes_a_record_has_a_logit_for_each(model, shape):
    if model.name == "module":
        with pytest.raises(ConfigError, match=r"expected \(3, 4\): a logit for each class"):
            builders_of(a_run("local", (3,), model=model, classes=tuple("abcd")), shape)
        return
    found = outline(builders_of(a_run("local", (3,), model=model, classes=tuple("abcd")), shape), shape)
    one = outline(builders(model, shape), shape)
    last = list(found)[-1]
    assert (found[last].shape, one[last].shape) == ((4,), (1,))
    assert list(found)[:-1] == list(one)[:-1]


@every_model
def test_the_catalog_names_the_stages_that_are_built(model, shape):
    assert stage_names(model) == (() if model.name == "module" else names_of(model, shape))
    held = [name.replace("/", ".") for name in build(builders(model, shape), 0).stages]
    assert tuple(held) == names_of(model, shape)
    modality = {1: "table", 2: "series", 3: "image"}
    if not isinstance(shape, dict):
        assert modality[len(shape)] in entry(model).reads
        assert len(entry(model).reads) == 1 or model.name == "module"


@every_model
def test_the_outline_has_the_shapes_and_sizes_of_the_real_stages(model, shape):
    found, value = outline(builders(model, shape), shape), records(5, shape)
    for inner, stage in build(builders(model, shape), 0).eval().stages.items():
        name = inner.replace("/", ".")
        value = stage(value)
        assert found[name].shape == tuple(value.shape[1:])
        assert found[name].parameters == sum(p.numel() for p in stage.parameters())
        assert found[name].buffers == sum(b.numel() for b in stage.buffers())
    assert value.shape == (5, 1)


@every_model
def test_an_outline_draws_nothing_and_a_model_built_after_it_is_drawn(model, shape):
    made, before = builders(model, shape), torch.get_rng_state()
    outline(made, shape)
    assert torch.equal(torch.get_rng_state(), before)
    weights = [value for value in build(made, 0).parameters() if value.dim() > 1]
    assert all(value.count_nonzero() for value in weights)


def test_what_an_initialisation_gives_stays_a_parameter_of_an_outlined_stage():
    class Written(nn.Module):
        def __init__(self):
            super().__init__()
            self.kept = nn.init.xavier_uniform_(tensor=nn.Parameter(torch.empty(3, 2)))
            self.made = nn.Parameter(torch.empty(2).uniform_(-1, 1))

        def forward(self, value):
            return value @ self.kept + self.made

    assert outline({"written": Written}, (3,))["written"].parameters == 8
    assert all(value.count_nonzero() for value in build({"written": Written}, 0).parameters())


@every_model
def test_cut_parts_in_a_row_are_the_whole_model(model, shape):
    names = names_of(model, shape)
    chosen = some(names[:-1])
    cuts = [(a,) for a in chosen]
    cuts += [(a, b) for a, b in combinations(chosen if len(names) < 10 else chosen[:2], 2)]
    inputs, draw = records(5, shape), (3, "forward", 0, 0, 0)
    expected = build(builders(model, shape), 3)(inputs, draw)
    for after in cuts:
        pieces = cut(names, after)
        assert sum(pieces, ()) == names
        assert len(pieces) == len(after) + 1
        assert [piece[-1] for piece in pieces[:-1]] == list(after)
        value = inputs
        for piece in pieces:
            value = build(builders(model, shape), 3, piece)(value, draw)
        assert torch.equal(value, expected)


@every_model
def test_stages_are_initialised_by_seed_and_name_alone(model, shape):
    torch.manual_seed(1)
    first = build(builders(model, shape), 3).state_dict()
    torch.manual_seed(2)
    chosen = some(names_of(model, shape))
    alone = {
        name: value
        for stage in reversed(chosen)
        for name, value in build(builders(model, shape), 3, (stage,)).state_dict().items()
    }
    inner = tuple(f"stages.{name.replace('.', '/')}." for name in chosen)
    first = {name: value for name, value in first.items() if name.startswith(inner)}
    assert first.keys() == alone.keys()
    assert all(torch.equal(first[name], alone[name]) for name in first)
    other = build(builders(model, shape), 4).state_dict()
    assert any(not torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize("name", ["resnet18", "densenet121"])
def test_monai_s_networks_taken_apart_give_what_they_give_in_one_piece(name):
    """With the published normalisation and initialisation, and MONAI's own forward."""
    from coordinator.models.monai_nets import NETWORKS  # seconds: not for those who skip this test

    model, shape = Model(name=name, width=16, norm="batch"), (1, 32, 32)
    with torch.random.fork_rng():
        torch.manual_seed(key(3, "init"))
        network = out_of_place(NETWORKS[name](model, 1)).train()
    part = build(builders(model, shape), 3)
    value, found = torch.randn(5, *shape), []
    for whole in (network, part):
        output = whole(value)
        output.square().sum().backward()
        evaluated = whole.eval()(value)
        found.append([output, evaluated, *(p.grad for p in whole.parameters()), *whole.buffers()])
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))
    assert any(isinstance(each, nn.BatchNorm2d) for each in part.modules())


@pytest.mark.parametrize("name", ["resnet18", "densenet121"])
def test_group_norm_leaves_no_batch_norm_in_monai_s_networks(name):
    part = build(builders(Model(name=name, width=8), (1, 29, 29)), 0)
    kinds = [type(each) for each in part.modules()]
    assert nn.BatchNorm2d not in kinds
    assert kinds.count(nn.GroupNorm) == {"resnet18": 20, "densenet121": 121}[name]
    alone, together = torch.randn(3, 1, 29, 29), None
    together = part(alone)
    assert torch.allclose(torch.cat([part(each[None]) for each in alone]), together, atol=1e-5)


def test_a_transformer_knows_the_order_of_the_steps():
    part = build(builders(Model(name="transformer", hidden=(8,), heads=2), (5, 4)), 0).eval()
    value = torch.randn(2, 5, 4)
    assert not torch.allclose(part(value), part(value.flip(1)))
    assert not any("places" in name for name in part.state_dict())


def test_a_transformer_gives_in_training_without_dropout_what_it_gives_in_evaluation():
    part = build(builders(Model(name="transformer", hidden=(8,), heads=2), (5, 4)), 0)
    value = torch.randn(2, 5, 4)
    trained = part(value)
    with torch.inference_mode():
        assert torch.equal(part.eval()(value), trained)
    assert not torch.backends.mha.get_fastpath_enabled()


def test_draws_are_keyed_and_evaluation_draws_nothing():
    part = build(builders(*CASES[2]), 0)
    inputs = torch.randn(50, 6)
    assert torch.equal(part(inputs, (1, "forward", 2)), part(inputs, (1, "forward", 2)))
    assert not torch.equal(part(inputs, (1, "forward", 2)), part(inputs, (1, "forward", 3)))
    part.eval()
    before = torch.default_generator.get_state()
    part(inputs)
    assert torch.equal(torch.default_generator.get_state(), before)


def test_what_crosses_a_stage_boundary_is_contiguous_both_ways():
    seen = []

    class Turned(nn.Module):
        def forward(self, value):
            return value.t()

    part = Part({"turned": Turned(), "last": nn.Identity()})
    part.stages["last"].register_forward_pre_hook(
        lambda module, inputs: seen.append(inputs[0].is_contiguous())
    )
    value = torch.randn(3, 4, requires_grad=True)
    output = part(value)
    output.register_hook(lambda gradient: seen.append(gradient.shape))
    output.backward(torch.randn(3, 4).t())
    assert seen == [True, (4, 3)]
    assert value.grad.shape == (3, 4)


def test_in_place_modules_are_replaced():
    part = build({"only": lambda: nn.Sequential(nn.ReLU(inplace=True), nn.Dropout(0.1, inplace=True))}, 0)
    value = -torch.ones(2, 2)
    part(value)
    assert torch.equal(value, -torch.ones(2, 2))


def test_an_unknown_model_is_refused_with_the_nearest_name():
    with pytest.raises(ConfigError, match="unknown model 'mpl'; did you mean 'mlp'"):
        entry(Model(name="mpl"))
