"""Images with their channels last: other kernels and maybe other bits, and every equality holds."""

import pytest
import torch
from federation import a_run, federate
from test_exactness import CNN, FUSION, SHAPES, assert_equal_runs, everything

from coordinator.algorithms.building import arithmetic_of, builders_of
from coordinator.commits import spec_hash
from coordinator.config import Clip, Model
from coordinator.models.stages import build, channels_last
from coordinator.specs import run_digest

LAST = {"memory_format": "channels_last"}
SIZES = (40, 17, 3)
RESNET = Model(name="resnet18", width=16)


def test_split_over_unequal_sites_equals_centralized_on_the_same_list():
    for model, cut in ((CNN, ("conv1", "conv2")), (FUSION, ("fronts", "layer1"))):
        changes = {"model": model, "training": {**LAST, "clip": Clip(norm=0.5)}}
        shape = SHAPES[model.name]
        reference = everything("centralized", SIZES, shape, batches="by_site", **changes)
        for preset in ("split", "split_u"):
            own = cut[: 1 + (preset == "split_u")]
            assert_equal_runs(everything(preset, SIZES, shape, cut=own, **changes), reference)


@pytest.mark.parametrize("preset", ["split", "split_u", "fedavg", "local"])
def test_one_site_equals_centralized(preset):
    changes = {
        "split": {"cut": ("conv1",)},
        "split_u": {"cut": ("conv1", "conv2")},
        "fedavg": {"optimizer_state": "kept"},
        "local": {},
    }[preset]
    reference = everything("centralized", (40,), (1, 8, 8), model=CNN, training=LAST)
    assert_equal_runs(everything(preset, (40,), (1, 8, 8), model=CNN, training=LAST, **changes), reference)


@pytest.mark.parametrize("cut", ["layer1", "layer3"])
def test_a_residual_network_that_shrinks_images_to_a_pixel_is_cut_exactly(cut):
    changes = {"model": RESNET, "training": {**LAST, "rounds": 1}}
    reference = everything("centralized", (10, 5), (1, 32, 32), batches="by_site", **changes)
    assert_equal_runs(everything("split", (10, 5), (1, 32, 32), cut=(cut,), **changes), reference)


@pytest.mark.parametrize("preset", ["centralized", "split", "split_parallel", "scaffold", "fedprox", "fedbn"])
def test_it_learns_what_contiguous_images_teach(preset):
    optimizer = {"optimizer": "sgd"} if preset == "scaffold" else {}
    found = []
    for more in ({}, LAST):
        run = a_run(preset, SIZES, model=CNN, cut=("conv1",), training={**optimizer, **more})
        coordinator, outcomes, _ = federate(run, SIZES, (2, 8, 8))
        found.append((coordinator.best_loss, [each for name in run.parties for each in outcomes[name][1]]))
        convolution = next(iter(outcomes[run.parties[-1]][0].parts.values())).state_dict()
        assert convolution["stages.conv1.0.weight"].is_contiguous() == (not more)
    assert found[1][0] == pytest.approx(found[0][0], abs=1e-4)
    for one, other in zip(found[0][1], found[1][1], strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-3)


def test_the_run_s_hash_tells_them_apart():
    usual, last = (a_run("split", SIZES, model=CNN, training=more) for more in ({}, LAST))
    assert usual == a_run("split", SIZES, model=CNN, training={"memory_format": "contiguous"})
    assert run_digest(usual) != run_digest(last)
    assert spec_hash(usual, {}) != spec_hash(last, {})


@pytest.mark.parametrize("shape", [(3, 1, 4, 4), (3, 4, 1, 1), (1, 4, 2, 2), (3, 4, 2, 1), (2, 3, 4, 5)])
def test_a_tensor_s_strides_do_not_depend_on_whether_it_was_sent(shape):
    value = torch.randn(shape)
    sent = torch.from_numpy(channels_last(value).contiguous().numpy().copy())
    other = torch.empty_strided(shape, torch.randn(shape).to(memory_format=torch.channels_last).stride())
    for each in (value, sent, other.copy_(value)):
        assert torch.equal(channels_last(each), value)
        assert channels_last(each).stride() == channels_last(value).stride()


def test_every_stage_is_given_channels_last():
    run = a_run("local", (3,), model=CNN, training=LAST)
    part = build(builders_of(run, (2, 8, 8)), 3, None, arithmetic_of(run))
    seen = []
    for stage in part.stages.values():
        stage.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    part(torch.randn(4, 2, 8, 8), (3, "forward", 0)).sum().backward()
    images = [value for value in seen if value.dim() == 4]
    assert len(images) >= 2
    assert not any(value.is_contiguous() for value in images)
