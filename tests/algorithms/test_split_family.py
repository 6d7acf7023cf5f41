"""The split family: what each preset equals or comes close to, and that it differs from its neighbours."""

import pytest
import torch
from federation import a_run, federate
from test_exactness import OPTIMIZERS, SIZES, assert_equal_runs, assert_same, everything, tensors

from coordinator.algorithms.training import floats
from coordinator.config import Model
from coordinator.presets import PRESETS
from coordinator.protocol.messages import Gradients, Sealed, Weights

MLP = Model(name="mlp", hidden=(16, 8), dropout=0.3)
PLAIN = Model(name="mlp", hidden=(16, 8))
FAMILY = [name for name, axes in PRESETS.items() if axes["algorithm"] == "split"]
UNEQUAL = (1000, 100, 10, 3)


def cut_for(preset):
    return ("layer1", "layer2") if PRESETS[preset].get("labels") == "private" else ("layer1",)


def ran(preset, sizes=SIZES, **changes):
    """Run a strategy; give the coordinator's party, the sites' parties, logits and messages, and the run."""
    changes = {"cut": cut_for(preset), **changes}
    run = a_run(preset, sizes, **changes)
    coordinator, outcomes, _ = federate(run, sizes)
    return coordinator, [outcomes[name] for name in run.parties], run


def largest(left, right):
    assert left.keys() == right.keys()
    return max(float((left[name] - right[name]).abs().max()) for name in left)


@pytest.mark.parametrize("training", OPTIMIZERS)
@pytest.mark.parametrize("preset", FAMILY)
def test_one_site_equals_centralized(preset, training):
    kept = {"optimizer_state": "kept"}
    changes = {"cut": cut_for(preset), **kept}
    batches = {"batches": "joint"} if PRESETS[preset]["back"] == "joint" else {"batches": "by_site"}
    reference = everything("centralized", (100,), (6,), training=training, **batches)
    found = everything(preset, (100,), (6,), training=training, **changes)
    if PRESETS[preset]["back"] == "averaged":  # the back's optimizer is its only copy's
        found = ({k: v for k, v in found[0].items() if not k.startswith("optimizer/")}, *found[1:])
        reference = ({k: reference[0][k] for k in found[0]}, *reference[1:])
    assert_equal_runs(found, reference)


@pytest.mark.parametrize("state", ["restarted", "kept"])
@pytest.mark.parametrize("training", OPTIMIZERS)
def test_splitfed_v1_equals_fedavg_under_the_same_optimizer_rule(training, state):
    training = {**training, "local_epochs": 2}
    fedavg = ran("fedavg", UNEQUAL, training=training, optimizer_state=state)
    splitfed = ran("splitfed_v1", UNEQUAL, training=training, optimizer_state=state)
    front, back = splitfed[1][0][0].parts["front"], splitfed[0].parts["back"]
    assert_same({**front.state_dict(), **back.state_dict()}, fedavg[0].parts["model"].state_dict())
    for one, other in zip(splitfed[1], fedavg[1], strict=True):
        assert torch.equal(one[1][0], other[1][0])


def test_splitfed_v3_averages_the_back_as_fedavg_would_and_keeps_fronts_apart():
    coordinator, sites, _ = ran("splitfed_v3", training={"rounds": 1})
    for place, value in enumerate(floats(coordinator.parts["back"])):
        assert torch.equal(value, floats(coordinator.copies[0])[place])
    fronts = [floats(party.parts["front"])[0] for party, *_ in sites]
    assert not any(torch.equal(fronts[0], other) for other in fronts[1:])
    fedavg = ran("splitfed_v1", training={"rounds": 1})[0]  # one round: the copies train alike
    for one, other in zip(floats(coordinator.parts["back"]), floats(fedavg.parts["back"]), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("optimizer", OPTIMIZERS[:1] + OPTIMIZERS[2:])
@pytest.mark.parametrize("labels", ["shared", "private"])
def test_split_parallel_is_large_batch_training(labels, optimizer):
    training = {**optimizer, "rounds": 10, "learning_rates": (0.01,)}  # 10 rounds of 10 steps
    changes = {"labels": labels, "cut": ("layer1", "layer2")[: 1 + (labels == "private")]}
    found = everything("split_parallel", SIZES, (6,), model=PLAIN, training=training, **changes)
    reference = everything("centralized", SIZES, (6,), model=PLAIN, training=training, batches="joint")
    assert largest(found[0], reference[0]) < 1e-6
    assert_alike_logits(found[1], reference[1])


def assert_alike_logits(left, right):
    for one, other in zip(left, right, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)


def test_synchronous_fronts_stay_equal_and_private_ones_do_not():
    _, sites, _ = ran("split_parallel")
    first = sites[0][0].parts["front"].state_dict()
    for party, *_ in sites[1:]:
        assert_same_plain(party.parts["front"].state_dict(), first)
    _, sites, _ = ran("split_parallel", site_parts="private")
    first = sites[0][0].parts["front"].state_dict()
    assert not torch.equal(sites[1][0].parts["front"].state_dict()["stages.layer1.0.weight"],
                           first["stages.layer1.0.weight"])  # fmt: skip


def assert_same_plain(left, right):
    assert left.keys() == right.keys()
    assert all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize("order", ["fixed", "drawn"])
@pytest.mark.parametrize(
    ("turn", "interleave"), [("client", "cyclic"), ("batch", "cyclic"), ("batch", "proportional")]
)
def test_sequential_learning_equals_centralized_on_the_same_list_in_every_order(turn, interleave, order):
    axes = {"turn": turn, "interleave": interleave, "order": order}
    reference = everything("centralized", SIZES, (6,), batches="by_site", **axes)
    assert_sequence(reference, ran("split", **axes))
    assert_sequence(reference, ran("split_u", **axes))


def assert_sequence(reference, found):
    coordinator, sites, _ = found
    front = sites[0][0]  # every site got the last parts
    here = {
        **tensors(coordinator),
        **{k: v for k, v in tensors(front).items() if not k.startswith("optimizer/")},
    }
    assert_same(here, {name: reference[0][name] for name in here})
    for one, other in zip(sites, reference[1], strict=True):
        assert torch.equal(one[1][0], other)


@pytest.mark.parametrize("training", OPTIMIZERS)
def test_cyclic_weight_transfer_equals_centralized_on_the_same_list(training):
    reference = everything("centralized", SIZES, (6,), training=training, batches="by_site")
    assert_equal_runs(everything("cyclic", SIZES, (6,), training=training), reference)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("split", "splitfed_v2"), ("splitfed_v1", "splitfed_v2"), ("splitfed_v1", "splitfed_v3"),
        ("splitfed_v2", "splitfed_v3"), ("multi_head", "splitfed_v3"), ("multi_head", "split"),
        ("split_parallel", "splitfed_v1"), ("multi_head", "split_parallel"),
    ],
)  # fmt: skip
def test_neighbours_differ(one, other):
    backs = [ran(preset)[0].parts["back"].state_dict() for preset in (one, other)]
    assert not torch.equal(*(back["stages.head.weight"] for back in backs))


def test_split_private_differs_from_split_u():
    middles = [ran(preset)[0].parts["middle"].state_dict() for preset in ("split_private", "split_u")]
    assert not torch.equal(*(middle["stages.layer2.0.weight"] for middle in middles))


@pytest.mark.parametrize("preset", FAMILY)
def test_what_leaves_a_site_is_what_its_parts_say(preset):
    kinds = {"handed_on": Sealed, "averaged": Weights, "synchronous": Gradients}
    _, sites, run = ran(preset)
    allowed = kinds.get(run.site_parts)
    for *_, sent, _ in sites:
        found = {type(message) for message in sent} & set(kinds.values())
        assert found <= {allowed}
    if allowed:
        assert any(isinstance(message, allowed) for *_, sent, _ in sites for message in sent)


@pytest.mark.parametrize("preset", [*FAMILY, "cyclic", "fedavg"])
def test_the_same_seed_gives_the_same_bits(preset):
    first, again = (everything(preset, UNEQUAL, (6,), cut=cut_for_any(preset)) for _ in range(2))
    assert_equal_runs(first, again)


def cut_for_any(preset):
    return cut_for(preset) if preset in FAMILY else ("layer1",)
